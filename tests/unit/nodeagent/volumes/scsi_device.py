"""A SCSI device as far as persistent reservations go (SPC-4, 5.7), spoken to by the words of sg_persist(8).

It prints what sg_persist 1.47 prints. Each initiator is one node with one path.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from nodeagent.resources.volumes import tools

CONFLICT = 24
UNIT_ATTENTION = 6
NAMES = {1: "Write Exclusive", 5: "Write Exclusive, registrants only"}


@dataclass
class Device:
    """`registered`: initiator -> key. `holder`: the initiator that holds the reservation."""

    registered: dict[str, int] = field(default_factory=dict)
    holder: str | None = None
    kind: int = 0
    generation: int = 0
    lasting: bool = True
    attention: set[str] = field(default_factory=set)
    aborted: list[str] = field(default_factory=list)

    def can_write(self, initiator: str) -> bool:
        """Whether the device takes a write."""
        return self.holder is None or initiator in self.registered

    def keys(self) -> str:
        """`--read-keys`"""
        count = len(self.registered)
        head = f"  PR generation=0x{self.generation:x}, "
        if not count:
            return head + "there are NO registered reservation keys\n"
        follows = (
            "1 registered reservation key follows:" if count == 1 else f"{count} registered reservation keys follow:"
        )
        return head + follows + "\n" + "".join(f"    0x{key:x}\n" for key in self.registered.values())

    def reservation(self) -> str:
        """`--read-reservation`"""
        head = f"  PR generation=0x{self.generation:x}, "
        if self.holder is None:
            return head + "there is NO reservation held\n"
        key = self.registered[self.holder]
        return head + f"Reservation follows:\n    Key=0x{key:x}\n    scope: LU_SCOPE,  type: {NAMES[self.kind]}\n"

    def capabilities(self) -> str:
        """`--report-capabilities`"""
        return (
            "Report capabilities response:\n"
            "  Replace Lost Reservation Capable(RLR_C): 0\n"
            "  Compatible Reservation Handling(CRH): 1\n"
            "  Specify Initiator Ports Capable(SIP_C): 1\n"
            "  All Target Ports Capable(ATP_C): 1\n"
            f"  Persist Through Power Loss Capable(PTPL_C): {int(self.lasting)}\n"
            "  Type Mask Valid(TMV): 1\n"
            "  Allow Commands: 1\n"
            "  Persist Through Power Loss Active(PTPL_A): 0\n"
            "    Support indicated in Type mask:\n"
            "      Write Exclusive, all registrants: 1\n"
            "      Exclusive Access, registrants only: 1\n"
            "      Write Exclusive, registrants only: 1\n"
            "      Exclusive Access: 1\n"
            "      Write Exclusive: 1\n"
            "      Exclusive Access, all registrants: 1\n"
        )

    def out(self, initiator: str, words: dict[str, str]) -> int:
        """A PERSISTENT RESERVE OUT command; the exit status."""
        key, other = int(words.get("--param-rk", "0"), 16), int(words.get("--param-sark", "0"), 16)
        if "--register-ignore" in words or "--register" in words:
            if "--register" in words and self.registered.get(initiator) != key:
                return CONFLICT
            self._register(initiator, other)
            return 0
        if self.registered.get(initiator) != key:
            return CONFLICT
        kind = int(words["--prout-type"])
        if "--reserve" in words:
            if self.holder not in {None, initiator}:
                return CONFLICT
            self.holder, self.kind = initiator, kind
            return 0
        assert "--preempt-abort" in words, words
        return self._preempt(initiator, other, kind)

    def _register(self, initiator: str, key: int) -> None:
        self.generation += 1
        if key:
            self.registered[initiator] = key
        else:
            self._forget(initiator)

    def _forget(self, initiator: str) -> None:
        self.registered.pop(initiator, None)
        if self.holder == initiator:
            self.holder = None
            self.attention |= self.registered.keys()

    def _preempt(self, initiator: str, key: int, kind: int) -> int:
        victims = [each for each, held in self.registered.items() if held == key]
        if not victims:
            return CONFLICT
        self.generation += 1
        takes_over = self.holder in victims
        for victim in victims:
            self._forget(victim)
            self.attention.add(victim)
            self.aborted.append(victim)
        if takes_over:
            self.holder, self.kind = initiator, kind
        return 0

    # -- as sg_persist --------------------------------------------------------------------------------------------

    def run(self, initiator: str, *arguments: str, accept: Container[int] = (0,)) -> tools.Done:
        """Stands for `tools.run` on the initiator's node."""
        program, *rest = arguments
        assert program == "sg_persist"
        words = {name: value for name, _, value in (each.partition("=") for each in rest)}
        assert words.pop("--device") == "/dev/sdx"
        done = self._answer(initiator, words)
        if done.status not in accept:
            raise tools.ToolFailed(program, done)
        return done

    def _answer(self, initiator: str, words: dict[str, str]) -> tools.Done:
        if initiator in self.attention:
            self.attention.discard(initiator)
            return tools.Done(UNIT_ATTENTION, "", "PR in (Read keys): Unit attention\n")
        if "--in" in words:
            answers = {
                "--read-keys": self.keys,
                "--read-reservation": self.reservation,
                "--report-capabilities": self.capabilities,
            }
            (asked,) = answers.keys() & words.keys()
            return tools.Done(0, answers[asked](), "")
        status = self.out(initiator, words)
        return tools.Done(status, "", "PR out: Reservation conflict\n" if status else "")
