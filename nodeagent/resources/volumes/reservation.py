"""SCSI-3 persistent reservations (SPC-4, 5.7): once a newer owner preempted, no older one can write.

Every owner registers a key that carries its node and the epoch of its grant, and one of
them holds a reservation "write exclusive, registrants only". Preempting a key, by its
name, unregisters that owner and aborts what it has in flight. What to do follows from
what is registered, purely (`plan`); sg_persist(8), or mpathpersist(8) for a device with
several paths, does it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.cluster.names import NodeName
from nodeagent.resources.volumes import tools
from nodeagent.resources.volumes.fault import VolumeFault

_MARK = 0x50
_EPOCH_BITS = 40
_NODE_BITS = 16
#: "Write exclusive, registrants only" (SPC-4, table 61).
_TYPE = "5"
_TYPE_NAME = "write exclusive, registrants only"
#: sg3_utils(8), EXIT STATUS: the device tells that something changed since; asking again is enough.
_UNIT_ATTENTION = 6
_CONFLICT = 24
_ATTEMPTS = 4
_ROUNDS = 3

_KEY_LINE = re.compile(r"^\s+0x([0-9a-f]{1,16})\s*$", re.MULTILINE | re.IGNORECASE)
_HOLDER = re.compile(r"\bkey\s*=\s*0x([0-9a-f]{1,16})", re.IGNORECASE)
_HELD_AS = re.compile(r"\btype\s*[:=]\s*(\S.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_CAPABILITY = re.compile(r"^\s*(\S.*?)\s*:\s*([01])\s*$", re.MULTILINE)


@dataclass(frozen=True)
class ReservationKey:
    """A node, and the epoch of its grant: it is higher with every grant of the group, so a key is never used twice.

    On the device: 8 bits that say that it is ours, 40 bits of epoch, 16 bits of a hash of the node's name for people.
    """

    node: NodeName
    epoch: int

    def __post_init__(self) -> None:
        if not 0 < self.epoch < 1 << _EPOCH_BITS:
            raise ValueError(f"an epoch of {self.epoch} fits into no reservation key")

    @property
    def value(self) -> int:
        """The 8 bytes as a number."""
        digest = hashlib.sha256(self.node.encode()).digest()
        return (_MARK << _EPOCH_BITS | self.epoch) << _NODE_BITS | int.from_bytes(digest[:2], "big")

    @property
    def hex(self) -> str:
        """As sg_persist(8) takes it."""
        return f"{self.value:016x}"

    def __str__(self) -> str:
        """As it stands in the ownership record."""
        return f"{self.node}:{self.epoch}"

    @classmethod
    def parse(cls, text: str) -> ReservationKey:
        """Read `NODE:EPOCH`; raises ValueError."""
        node, _, epoch = text.rpartition(":")
        return cls(NodeName(node), int(epoch))


def epoch_of(value: int) -> int | None:
    """The epoch in a key on a device; None when it is no key of ours."""
    if value >> (_EPOCH_BITS + _NODE_BITS) != _MARK:
        return None
    return value >> _NODE_BITS & (1 << _EPOCH_BITS) - 1


@dataclass(frozen=True)
class Registrations:
    """What a device says: the registered keys (one key may stand once for each path), who holds it, and how."""

    keys: frozenset[int]
    holder: int | None = None
    held_as: str = ""


class Action(StrEnum):
    """What can be done about a reservation."""

    RESERVE = "reserve"
    PREEMPT = "preempt-abort"


@dataclass(frozen=True)
class Step:
    """One command; `other` is the key that is preempted."""

    action: Action
    other: int = 0


def plan(device: str, seen: Registrations, ours: ReservationKey, below: int | None) -> tuple[Step, ...]:
    """What is left to do until `ours` holds the device and every key of an epoch lower than `below` is gone. Pure.

    Raises VolumeFault when our key is gone, when a newer owner is there, or when somebody else uses the device.
    """
    if ours.value not in seen.keys:
        raise VolumeFault("volume-key-lost", device=device, storage_key=ours.hex)
    if seen.holder is not None and seen.held_as.lower() != _TYPE_NAME:
        raise VolumeFault(
            "volume-foreign-reservation", device=device, storage_key=f"{seen.holder:x}", kind=seen.held_as
        )
    others = sorted(seen.keys - {ours.value})
    for other in others:
        epoch = epoch_of(other)
        if epoch is None:
            raise VolumeFault("volume-foreign-key", device=device, storage_key=f"{other:x}")
        if epoch >= (below or 0):
            raise VolumeFault("volume-newer-owner", device=device, storage_key=f"{other:x}", epoch=epoch)
    others.sort(key=lambda other: other != seen.holder)  # preempting the holder makes the reservation ours
    first = (Step(Action.RESERVE),) if seen.holder is None else ()
    return (*first, *(Step(Action.PREEMPT, other) for other in others))


# --- what sg_persist and mpathpersist print ---------------------------------------------------------------


def parse_keys(text: str) -> frozenset[int]:
    """Read `--read-keys`."""
    return frozenset(int(each, 16) for each in _KEY_LINE.findall(text))


def parse_reservation(text: str) -> tuple[int | None, str]:
    """Read `--read-reservation`: the holder's key and the type; (None, "") when nobody holds it."""
    key, kind = _HOLDER.search(text), _HELD_AS.search(text)
    if key is None or kind is None:
        return None, ""
    return int(key[1], 16), kind[1]


def parse_capabilities(text: str) -> dict[str, bool]:
    """Read `--report-capabilities`."""
    return {name: value == "1" for name, value in _CAPABILITY.findall(text)}


# --- on a device ------------------------------------------------------------------------------------------


class Reservation:
    """The reservation of one device. Never yet run on a real one (docs/operators/volumes.md)."""

    def __init__(self, device: Path, sysfs: Path = Path("/sys")) -> None:
        self._device = str(device)
        self._sysfs = sysfs

    def check(self) -> None:
        """Raise VolumeFault unless the device can be reserved for its registrants."""
        offered = parse_capabilities(self._ask("--report-capabilities"))
        if not offered.get("Write Exclusive, registrants only", True):
            raise VolumeFault("volume-no-reservations", device=self._device)

    def register(self, key: ReservationKey) -> None:
        """Register the key for this node, in place of whichever it had."""
        lasting = parse_capabilities(self._ask("--report-capabilities")).get(
            "Persist Through Power Loss Capable(PTPL_C)", False
        )
        self._order("--register-ignore", f"--param-sark={key.hex}", *(["--param-aptpl"] if lasting else []))

    def unregister(self, key: ReservationKey | None) -> None:
        """Take the key back, and with it the reservation if it was the holder's; None: whichever this node has."""
        if key is None:
            self._order("--register-ignore", "--param-sark=0")
        elif self.registered(key):
            self._order("--register", f"--param-rk={key.hex}", "--param-sark=0")

    def registered(self, key: ReservationKey) -> bool:
        """Whether the device still knows the key."""
        return key.value in parse_keys(self._ask("--read-keys"))

    def take(self, key: ReservationKey, below: int | None) -> None:
        """Hold the device under the key and shut out every lower epoch; read back until it is so."""
        for _ in range(_ROUNDS):
            steps = plan(self._device, self._read(), key, below)
            if not steps:
                return
            for step in steps:
                self._carry_out(step, key)
        raise VolumeFault("volume-not-reserved", device=self._device)

    def _read(self) -> Registrations:
        keys = parse_keys(self._ask("--read-keys"))
        return Registrations(keys, *parse_reservation(self._ask("--read-reservation")))

    def _carry_out(self, step: Step, key: ReservationKey) -> None:
        words = [f"--{step.action}", f"--param-rk={key.hex}", f"--prout-type={_TYPE}"]
        if step.action is Action.PREEMPT:
            words.append(f"--param-sark={step.other:x}")
        self._order(*words, accept=(0, _CONFLICT))  # a conflict: somebody was quicker; reading back tells who

    def _ask(self, *words: str) -> str:
        return self._run("--in", *words).output

    def _order(self, *words: str, accept: tuple[int, ...] = (0,)) -> None:
        self._run("--out", *words, accept=accept)

    def _run(self, *words: str, accept: tuple[int, ...] = (0,)) -> tools.Done:
        program = [self._program()] if self._program() == "mpathpersist" else ["sg_persist", "--no-inquiry"]
        try:
            for _ in range(_ATTEMPTS):
                done = tools.run(*program, *words, f"--device={self._device}", accept=(*accept, _UNIT_ATTENTION))
                if done.status != _UNIT_ATTENTION:
                    return done
        except tools.ToolFailed as failed:
            raise VolumeFault("volume-reservation-failed", device=self._device, detail=failed.done.detail) from failed
        raise VolumeFault("volume-reservation-failed", device=self._device, detail=done.detail)

    def _program(self) -> str:
        """sg_persist would register one path of several; multipath devices have a program that knows all."""
        name = Path(self._device).resolve().name
        try:
            uuid = (self._sysfs / "class/block" / name / "dm/uuid").read_text(encoding="ascii", errors="replace")
        except OSError:
            return "sg_persist"
        return "mpathpersist" if uuid.startswith("mpath-") else "sg_persist"
