"""What goes on beside the running demo: forwarded ports, the nodes' power switch, a small mail load."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.demo.state import FOLDER, LOAD_FILE
from tests.lab import Lab, LabError
from tests.lab.cluster import ADDRESS
from tests.lab.forward import Forward
from tests.lab.host import Process
from tests.load.mail_load import People


def _start(words: list[str], log: str, said: str | None = None) -> tuple[Process, subprocess.Popen[str]]:
    """A process of its own that outlives this one; its errors go to a file of the demo's folder."""
    with (FOLDER / log).open("w") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.DEVNULL if said is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    if said is not None:
        assert child.stdin is not None
        child.stdin.write(said)
        child.stdin.close()
    process = Process.of(child.pid)
    if process is None:
        raise LabError(f"{words[0]} failed: {(FOLDER / log).read_text()}")
    return process, child


def forward(lab: Lab, ports: dict[int, int]) -> dict[int, int]:
    """Forward ports to the group's address; the lab lives as long as that does. Return group port -> host port."""
    wanted = [str(Forward(host, ADDRESS, port)) for port, host in ports.items()]
    process, child = _start(["tests.lab.forward", lab.namespace, *wanted], "forward.log")
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise LabError(f"forwarding ports failed: {(FOLDER / 'forward.log').read_text()}")
    lab.hand_over(process)
    return {int(port): host for port, host in json.loads(line).items()}


def switch(lab: Lab) -> Process:
    """Serve the nodes' power switch."""
    process, child = _start(["tests.lab.fence", lab.name], "switch.log")
    assert child.stdout is not None
    if not child.stdout.readline():
        raise LabError(f"the power switch failed: {(FOLDER / 'switch.log').read_text()}")
    return process


def load(people: People) -> Process:
    """Send and work with mail; called on the lab's network."""
    words = ["tests.demo.load", ADDRESS, people.domain, str(LOAD_FILE)]
    return _start(words, "load.log", said=people.password + "\n")[0]
