"""The protocol with one line broken: a module's text is changed, and the modules above it are loaded anew.

A mutation names the very text that it breaks, so it fails loudly when that code is rewritten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from appliance.cluster import timing
from appliance.ownership import owner, taker, transactions
from tests.unit.protocol.drivers import Protocol

#: In the order in which they import each other.
MODULES = (timing, transactions, taker, owner)


@dataclass(frozen=True)
class Mutation:
    """`was` stands exactly once in `module` and becomes `becomes`; `setups`: where it must be caught.

    `faults`: those of the model that bring it to light (none: all of them), so that the search is short.
    `promise`: no second writer can come of it alone, and a promise of the owner's side is what catches it.
    """

    name: str
    setups: tuple[str, ...]
    module: ModuleType = owner
    was: str = ""
    becomes: str = ""
    keepalives_count: bool = False
    wall_clock: bool = False
    promise: bool = False
    faults: tuple[str, ...] = ()

    @contextmanager
    def applied(self) -> Iterator[Protocol]:
        """The broken protocol; nothing else of the process sees it, but for the check of a Timing."""
        broken: dict[str, ModuleType] = {}
        for module in MODULES:
            with patch.dict(sys.modules, broken):
                broken[module.__name__] = self._load(module)
        with patch.object(timing.Timing, "check", broken[timing.__name__].Timing.check):
            yield Protocol(
                broken[owner.__name__],
                broken[taker.__name__],
                broken[owner.__name__].Identity,
                keepalives_count=self.keepalives_count,
                wall_clock=self.wall_clock,
            )

    def _load(self, module: ModuleType) -> ModuleType:
        file = Path(module.__file__ or "")
        text = file.read_text(encoding="utf-8")
        if module is self.module and self.was:
            assert text.count(self.was) == 1, f"{self.name}: {file.name} does not say {self.was!r} once"
            text = text.replace(self.was, self.becomes)
        loaded = ModuleType(f"broken.{module.__name__}")
        with patch.dict(sys.modules, {loaded.__name__: loaded}):
            exec(compile(text, str(file), "exec"), vars(loaded))
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, Enum):
                setattr(loaded, name, value)  # one and the same word on both sides
        return loaded


WATCHDOG = ("watchdog",)
POWER = ("power, virtual",)

MUTATIONS = (
    # --- the owner ---
    Mutation(
        "t0 is taken when the reply comes",
        WATCHDOG,
        owner,
        "state = replace(state, renewed=flight.sent)",
        "state = replace(state, renewed=now)",
        promise=True,
        faults=("a_last_reply_is_late_and_then_nothing",),
    ),
    Mutation(
        "the watchdog is petted after a late reply",
        WATCHDOG,
        owner,
        "late = now - flight.sent > me.timing.reply",
        "late = False",
        promise=True,
        faults=("a_keeper_stutters",),
    ),
    Mutation(
        "a renewal without an answer counts",
        WATCHDOG,
        owner,
        """    if flight is None or outcome is None:
        return state, (Note(Reason.REPLY_MISSING),)
    if not outcome.succeeded:""",
        """    if flight is None:
        return state, (Note(Reason.REPLY_MISSING),)
    outcome = outcome or Outcome(True, state.epoch or 1)
    if not outcome.succeeded:""",
        faults=("a_node_loses_the_store",),
    ),
    Mutation(
        "a lease's keepalive counts as a renewal",
        WATCHDOG,
        keepalives_count=True,
        faults=("a_stale_leader_answers_a_node",),
    ),
    Mutation(
        "the wall clock decides",
        WATCHDOG,
        wall_clock=True,
        faults=("somebody_sets_the_wall_clock", "a_keeper_is_stopped"),
    ),
    Mutation(
        "the confirmation is guarded by the session's epoch only",
        POWER,
        transactions,
        """    return (
        Guard(keys.session(node), Field.CREATE_REVISION, session_epoch),
        Guard(key, Field.MOD_REVISION, owner_epoch),
    )""",
        "    return (Guard(keys.session(node), Field.CREATE_REVISION, session_epoch),)",
        faults=("a_machine_stands_still_at_a_bad_moment", "a_group_is_wanted_elsewhere"),
    ),
    Mutation(
        "a refused confirmation is not looked at",
        POWER,
        owner,
        """    if not outcome.succeeded:
        return _drop(state, [group], Reason.CONFIRMATION_REFUSED)
""",
        "",
        faults=("a_machine_stands_still_at_a_bad_moment", "a_group_is_wanted_elsewhere"),
    ),
    Mutation(
        "the group is mounted as soon as it is granted",
        ("neither", "watchdog"),
        owner,
        "decisions.append(Prepare(Reason.RECORD_NAMES_THIS_NODE, group, owner.epoch))",
        "decisions += [Prepare(Reason.RECORD_NAMES_THIS_NODE, group, owner.epoch), "
        "Mount(Reason.CONFIRMED, group, None, False)]",
        faults=("a_keeper_stutters", "a_group_is_wanted_elsewhere"),
    ),
    Mutation(
        "a keeper opens its session before it has cleaned up after its predecessor",
        ("neither", "watchdog"),
        owner,
        "return Owner(), (Clean(Reason.KEEPER_BEGAN),)",
        "return Owner(clean=True), ()",
        faults=("a_keeper_crashes", "the_placement_changes_its_mind"),
    ),
    Mutation(
        "a new session is opened while something is still being dropped",
        ("neither",),
        owner,
        "if not state.clean or state.holdings:",
        "if not state.clean:",
        faults=("killing_hangs", "the_store_lets_a_healthy_lease_end", "the_placement_changes_its_mind"),
    ),
    Mutation(
        "the watchdog of a virtual machine is published",
        ("virtual, its watchdog published",),
        faults=("a_machine_stands_still",),
    ),
    Mutation(
        "the group is handed over before it is unmounted",
        ("neither", "watchdog"),
        owner,
        "if holding is None or holding.stage is not Stage.STOPPED or state.epoch is None:",
        "if holding is None or holding.stage is not Stage.STOPPING or state.epoch is None:",
        faults=("a_group_is_wanted_elsewhere",),
    ),
    # --- the other side ---
    Mutation(
        "what a fence agent says is not verified",
        POWER,
        taker,
        "state = FenceState.REFUSED if accepted is False else FenceState.ORDERED",
        "state = FenceState.VERIFIED if accepted else FenceState.REFUSED",
        faults=("a_fence_agent_behaves", "a_keeper_is_stopped"),
    ),
    Mutation(
        "a verified fence counts for every later incident",
        POWER,
        taker,
        "if (self.node, self.session_epoch) != (record.node, record.session_epoch):",
        "if self.node != record.node:",
        faults=("a_machine_stands_still", "the_operator_switches_a_machine_on", "a_keeper_is_stopped"),
    ),
    Mutation(
        "the slow path is taken without an armed watchdog",
        ("neither",),
        taker,
        """    if silence is None or case.sighting is None:
        return None
""",
        """    silence = silence or timing.takeover
    if case.sighting is None:
        return None
""",
        faults=("a_keeper_is_stopped",),
    ),
    Mutation(
        "the session's revision is not compared",
        WATCHDOG,
        transactions,
        "guards.append(Guard(keys.session(node), Field.MOD_REVISION, session_revision))",
        "pass",
        faults=("watches_are_silent",),
    ),
    Mutation(
        "a renewal does not begin the wait anew",
        WATCHDOG,
        taker,
        "after[node] = replace(known, revision=revision, since=now)",
        "after[node] = replace(known, revision=revision)",
        faults=("a_group_is_wanted_elsewhere",),
    ),
    Mutation(
        "an observer that starts believes in the silence before",
        WATCHDOG,
        taker,
        "after[node] = Sighting(revision, now, epoch, now)",
        "after[node] = Sighting(revision, 0.0, epoch, 0.0)",
        faults=("the_taker_is_another_one",),
    ),
    Mutation(
        "a session that is gone proves that its node is off",
        ("watchdog", "neither"),
        taker,
        """    if session is None or session.epoch <= owner.record.session_epoch:
        return False
    return bool""",
        """    if session is None:
        return True
    return bool""",
        faults=("the_store_lets_a_healthy_lease_end",),
    ),
    Mutation(
        "the wait is shorter than the old owner published",
        WATCHDOG,
        taker,
        "return case.sighting.last_renewal(owner.record.session_epoch) + silence + timing.margin",
        "return case.sighting.last_renewal(owner.record.session_epoch) + timing.demote + timing.kill",
        faults=("an_owner_stutters_when_it_pets",),
    ),
    Mutation(
        "the operator's word about an earlier session counts",
        ("neither",),
        taker,
        "if case.acknowledged == owner.record.session_epoch:",
        "if case.acknowledged is not None:",
        faults=(
            "the_operator_makes_sure_that_an_owner_is_off",
            "the_operator_switches_a_machine_on",
            "a_keeper_is_stopped",
        ),
    ),
    Mutation(
        "broken inequalities are taken as they are",
        WATCHDOG,
        timing,
        "if not left <= right + 1e-9:",
        "if False:",
        faults=("an_owner_stutters_when_it_pets",),
    ),
)
