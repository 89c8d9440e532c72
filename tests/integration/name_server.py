"""The Internet's DNS as a lab's nodes see it: a real unbound on the lab's address, with these records and no others.

Tests of one lab share that address: start it for a module, and end it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.lab.network import LAB_ADDRESS
from tests.lab.polling import wait_until

_UNBOUND: Final = shutil.which("unbound") or "/usr/sbin/unbound"
#: Below these unbound has answers of its own (unbound.conf(5), local-zone).
_RESERVED: Final = ("test.", "10.in-addr.arpa.")
_HEAD: Final = "$TTL 5\n. IN SOA ns.example. root.example. 1 60 60 60 5\n. IN NS ns.example.\n"


@contextmanager
def name_server(folder: Path, records: str) -> Iterator[None]:
    """Serve the records (as in a zone file, absolute names) to every node of the lab for the block."""
    (folder / "zone").write_text(_HEAD + records)
    lines = ["server:", f"  interface: {LAB_ADDRESS}", "  access-control: 10.57.0.0/16 allow", '  chroot: ""']
    lines += ['  username: ""', f'  directory: "{folder}"', f'  pidfile: "{folder}/pid"', "  do-daemonize: no"]
    lines += [
        "  use-syslog: no",
        '  module-config: "iterator"',
        *(f'  local-zone: "{each}" nodefault' for each in _RESERVED),
    ]
    lines += ["remote-control:", "  control-enable: no", "auth-zone:", '  name: "."', f'  zonefile: "{folder}/zone"']
    lines += ["  for-downstream: yes", "  for-upstream: no"]
    (folder / "unbound.conf").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        command = [_UNBOUND, "-d", "-c", str(folder / "unbound.conf")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        question = dns.message.make_query(".", "SOA")

        def answered() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            return dns.query.udp(question, LAB_ADDRESS, timeout=0.3).rcode() == dns.rcode.NOERROR

        wait_until("name server", answered, timeout=15.0, ignore=(OSError, dns.exception.Timeout))
        yield
    finally:
        process.kill()
        process.wait()
