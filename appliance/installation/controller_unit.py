"""The controller runs on every control node of a cluster. A server alone needs none: nothing could move from it."""

from __future__ import annotations

from appliance.cluster.model import Role
from appliance.errors import NotFound
from appliance.installation.steps import systemctl
from appliance.node_file import NodeFile
from appliance.pki import sealing

UNIT = "posthouse-controller.service"


def bring_about(identity: NodeFile) -> bool:
    """Enable and start the controller on a control node, disable and stop it elsewhere; return whether that changed.

    The sealing key has to be here before: the first control node makes it (`sealing.ensure_key`), every other one
    gets a copy when it joins. Raises NotFound without it, PosthouseError when systemd refuses.
    """
    wanted = Role.CONTROL in identity.roles
    if wanted and not sealing.KEY_FILE.exists():
        raise NotFound("sealing-no-key", path=str(sealing.KEY_FILE), detail="ENOENT")
    before = systemctl("is-active", UNIT, check=False).strip()
    if not wanted:
        systemctl("disable", "--now", UNIT, check=False)
        return before == "active"
    systemctl("enable", "--now", UNIT)
    return before != "active"
