"""What must hold before a server becomes a node. Each finding says what was found and what to do.

A server on which somebody's own mail system is configured is left alone.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError
from appliance.installation import foreign as foreign_files

#: Debian's own instances of the engines, masked on a node: ours run instead.
DEFAULT_UNITS: Mapping[str, tuple[int, ...]] = {
    "postfix.service": (25, 465, 587),
    "postfix@-.service": (25, 465, 587),
    "dovecot.service": (110, 143, 993, 995, 4190),
    "dovecot.socket": (110, 143, 993, 995, 4190),
    "slapd.service": (),
    "etcd.service": (2379, 2380),
}
PORTS = (25, 110, 143, 465, 587, 993, 995, 2379, 2380, 4190)
TIME_UNITS = ("chrony.service", "ntpsec.service", "ntp.service", "openntpd.service", "systemd-timesyncd.service")
#: Debian's slapd creates its suffix and, in some releases, an administrator.
DEBIAN_DIRECTORY_ENTRIES = 2
_DEADLINE = Seconds(20.0)


class NotReady(PosthouseError):
    """This server cannot become a node as it is; nothing was changed."""

    def __init__(self, findings: list[PosthouseError]) -> None:
        self.findings = findings
        super().__init__("init-not-ready", findings="\n".join(f"- {finding}" for finding in findings))


@dataclass(frozen=True)
class Server:
    """What preflight looks at."""

    uid: int
    os_release: Mapping[str, str]
    systemd: bool
    files: Callable[[str], str | None]
    active_units: frozenset[str]
    busy_ports: tuple[int, ...]
    directory_entries: int
    dovecot_files: tuple[str, ...] = ()


def findings(server: Server, *, initialised: bool) -> list[PosthouseError]:
    """Everything that stands in the way. Pure. A node that is initialised already holds its own ports."""
    found: list[PosthouseError] = []
    if server.uid != 0:
        return [PosthouseError("init-needs-root")]
    if (server.os_release.get("ID"), server.os_release.get("VERSION_ID")) != ("debian", "12"):
        found.append(PosthouseError("init-needs-debian-12", found=server.os_release.get("PRETTY_NAME", "?")))
    if not server.systemd:
        found.append(PosthouseError("init-needs-systemd"))
    if not server.active_units.intersection(TIME_UNITS):
        found.append(PosthouseError("init-needs-time-source"))
    if not initialised:
        found.extend(PosthouseError("init-foreign-configuration", what=what) for what in foreign(server))
        freed = {port for unit in server.active_units for port in DEFAULT_UNITS.get(unit, ())}
        found.extend(PosthouseError("init-port-busy", port=port) for port in server.busy_ports if port not in freed)
    return found


def foreign(server: Server) -> list[str]:
    """Configurations of the engines that somebody made for a mail system of their own."""
    found = [*foreign_files.postfix(server.files), *foreign_files.dovecot(server.files, server.dovecot_files)]
    local_conf = server.files("/etc/dovecot/local.conf")
    if local_conf and local_conf.strip() and "/etc/dovecot/local.conf" not in found:
        found.append("/etc/dovecot/local.conf")
    if server.files("/etc/default/etcd") and re.search(
        r"^\s*ETCD_INITIAL_CLUSTER=", server.files("/etc/default/etcd") or "", re.M
    ):
        found.append("/etc/default/etcd")
    if server.directory_entries > DEBIAN_DIRECTORY_ENTRIES:
        found.append("/var/lib/ldap")
    return found


def look(ports: Sequence[int] = PORTS) -> Server:
    """Look at this server. `ports`: those that have to be free."""
    return Server(
        uid=os.geteuid(),
        os_release=_os_release(),
        systemd=Path("/run/systemd/system").is_dir(),
        files=_text,
        active_units=_active((*TIME_UNITS, *DEFAULT_UNITS)),
        busy_ports=tuple(port for port in ports if _busy(port)),
        directory_entries=_directory_entries(),
        dovecot_files=tuple(str(each) for each in Path("/etc/dovecot").glob("**/*.conf")),
    )


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in (_text("/etc/os-release") or "").splitlines())
    return {name: value.strip('"') for name, _, value in pairs if name}


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return None


def _active(units: tuple[str, ...]) -> frozenset[str]:
    try:
        done = subprocess.run(
            ["systemctl", "is-active", *units], capture_output=True, text=True, timeout=_DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(u for u, state in zip(units, done.stdout.split(), strict=False) if state == "active")


def _directory_entries() -> int:
    """Entries of Debian's own slapd database; 0 when there is none."""
    if not Path("/etc/ldap/slapd.d").is_dir():
        return 0
    try:
        done = subprocess.run(
            ["slapcat", "-n", "1", "-o", "ldif-wrap=no"], capture_output=True, timeout=_DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return done.stdout.count(b"\ndn: ") + done.stdout.startswith(b"dn: ")


def _busy(port: int) -> bool:
    """Whether somebody listens on the port on any address."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(("::", port))
        except OSError as error:
            return error.errno == 98  # noqa: PLR2004 - EADDRINUSE
    return False
