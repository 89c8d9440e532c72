"""What a keeper takes of what the store says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from appliance.clock import boottime
from appliance.cluster.model import Basis, Ownership, OwnershipStage, ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.timing import FenceMode, Timing
from appliance.ownership.owner import Identity
from appliance.ownership.records import OwnerSeen
from nodeagent.ownership.follow import View
from nodeagent.ownership.shared import Shared
from nodeagent.ownership.worker import GroupWorker

A, MAIL, EPOCH = NodeName("a"), GroupName("mail"), 7
ME = Identity(A, "boot", "machine", Timing(), FenceMode.FENCED, watchdog=False)


@pytest.mark.parametrize(("ago", "taken"), [(0.0, True), (60.0, False)])
def test_nothing_is_begun_whose_deadline_has_passed(ago: float, taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look may answer before the renewal does, when the store is back: it would be dropped at once."""
    monkeypatch.setattr(GroupWorker, "start", lambda _: None)
    none = cast(Any, None)
    shared = Shared(ME, lambda _: None, writes=none, forks=none, watchdog=none, chronicle=none)
    shared.state = replace(shared.state, clean=True, epoch=EPOCH, renewed=boottime() - ago)
    volume = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/x")
    group = ServiceGroup(name=MAIL, volume=volume, candidates=(A,))
    record = Ownership(group=MAIL, node=A, session_epoch=EPOCH, stage=OwnershipStage.GRANTED, basis=Basis.UNOWNED)
    shared.look(View(20, groups={MAIL: group}, owners={MAIL: OwnerSeen(record, 11)}), frozenset())
    assert (MAIL in shared.state.holdings) is taken
