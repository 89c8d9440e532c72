"""The server's own sendmail(1), mailq(1) and postqueue(1): they hand mail to the instance that serves this node.

Debian's programs read /etc/postfix/main.cf, and the set-gid ones trust no other file
(postdrop(1)). So that file names our queue. It starts nothing: every service of a
master(8) that somebody would start with it by hand is disabled.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance import durable_files, paths
from appliance.cluster.names import MAIL_GROUP, EngineName, InstanceId
from appliance.installation import foreign
from appliance.node_file import NodeFile

MAIN_CF = Path(foreign.MAIN_CF)
#: Debian's own file, given back when the package is removed (packaging/debian/postrm).
KEPT = paths.STATE / "kept" / "postfix-main.cf"


def pointer(identity: NodeFile) -> str:
    """The text of /etc/postfix/main.cf. Pure."""
    volume = paths.volume(MAIL_GROUP)
    return f"""{foreign.OURS}: sendmail, mailq and postqueue of this server use its mail instance.
# What stood here before is in {KEPT} and comes back when the package is removed.
compatibility_level = 3.7
myhostname = {identity.hostname}
queue_directory = {volume}/postfix/spool
data_directory = {volume}/postfix/data
mail_owner = postfix
setgid_group = postdrop
syslog_name = posthouse-{MAIL_GROUP}
alternate_config_directories = {paths.config(InstanceId(EngineName("postfix"), MAIL_GROUP))}
# The instance runs as posthouse-postfix@{MAIL_GROUP}.service; nothing is to be started from here.
master_service_disable = inet unix fifo pass
"""


def bring_about(identity: NodeFile) -> bool:
    """Write the file unless it stands there; keep what Debian's package wrote. Returns whether anything changed."""
    wanted = pointer(identity)
    have = MAIN_CF.read_text(errors="surrogateescape") if MAIN_CF.exists() else None
    if have == wanted:
        return False
    if have is not None and not have.startswith(foreign.OURS):
        KEPT.parent.mkdir(mode=0o755, exist_ok=True)
        durable_files.replace(KEPT, os.fsencode(have), 0o644)
    MAIN_CF.parent.mkdir(mode=0o755, exist_ok=True)
    durable_files.replace(MAIN_CF, wanted.encode(), 0o644)
    return True
