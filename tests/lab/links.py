"""What passes between the lab's nodes: cuts between any two sets of them, in one direction or both.

Frames are dropped on the lab's bridge (nftables, family bridge), so a node notices nothing of it: its own link stays
up. `LAB` stands for the lab itself, where tests' clients are.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

from tests.lab.host import CommandFailed
from tests.lab.network import port_name

#: Number of the lab itself among the nodes' numbers.
LAB = 0

_RULES = """
table bridge cuts
delete table bridge cuts
table bridge cuts {{
    set passing {{ type ifname . ifname; {passing} }}
    set mute {{ type ifname; {mute} }}
    set deaf {{ type ifname; {deaf} }}
    chain forward {{ type filter hook forward priority 0; iifname . oifname @passing drop; }}
    chain input {{ type filter hook input priority 0; iifname @mute drop; }}
    chain output {{ type filter hook output priority 0; oifname @deaf drop; }}
}}
"""


def _elements(names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"elements = {{ {listed} }};" if listed else ""


def ruleset(cuts: Iterable[tuple[int, int]]) -> str:
    """The rules that drop what goes from the first to the second of each pair of node numbers."""
    pairs = set(cuts)
    return _RULES.format(
        passing=_elements(f'"{port_name(a)}" . "{port_name(b)}"' for a, b in pairs if LAB not in (a, b)),
        mute=_elements(f'"{port_name(a)}"' for a, b in pairs if b == LAB),
        deaf=_elements(f'"{port_name(b)}"' for a, b in pairs if a == LAB),
    )


class Links:
    """The cuts of one lab. All names are node numbers."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._cuts: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def cut(self, ones: Iterable[int], others: Iterable[int], *, one_way: bool = False) -> None:
        """Let nothing pass from `ones` to `others`, nor back unless `one_way`."""
        there = {(a, b) for a, b in product(ones, list(others)) if a != b}
        self._change(self._cuts | there | (set() if one_way else {(b, a) for a, b in there}))

    def join(self, ones: Iterable[int], others: Iterable[int]) -> None:
        """Let everything pass again between the two."""
        pairs = set(product(ones, list(others)))
        self._change({(a, b) for a, b in self._cuts if (a, b) not in pairs and (b, a) not in pairs})

    def heal(self) -> None:
        """Let everything pass again."""
        self._change(set())

    @contextmanager
    def flapping(self, ones: Iterable[int], others: Iterable[int], *, every: float) -> Iterator[None]:
        """Cut and join the two in turns of `every` seconds for the block; whole again after it."""
        ended = threading.Event()
        left, right = list(ones), list(others)

        def flap() -> None:
            while not ended.wait(every):
                self.cut(left, right)
                ended.wait(every)
                self.join(left, right)

        thread = threading.Thread(target=flap, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.join(left, right)

    def _change(self, cuts: set[tuple[int, int]]) -> None:
        with self._lock:
            line = ["ip", "netns", "exec", self._namespace, "nft", "-f", "-"]
            done = subprocess.run(line, input=ruleset(cuts), capture_output=True, text=True, timeout=30, check=False)
            if done.returncode:
                raise CommandFailed(line, done.returncode, done.stdout, done.stderr)
            self._cuts = cuts
