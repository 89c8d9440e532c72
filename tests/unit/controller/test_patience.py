"""How long a move may take before the node that does not let go is cut off."""

from __future__ import annotations

from appliance.cluster.names import GroupName, NodeName
from controller.events import DecisionLog
from controller.patience import HANGING, Patience

MAIL, ONE, OTHER = GroupName("mail"), NodeName("mail1"), NodeName("mail2")
MOST = 60.0


def stuck_after(seconds: float, *, hanging: bool) -> bool:
    patience = Patience(DecisionLog(OTHER))
    pairs = frozenset({(MAIL, ONE)}) if hanging else frozenset()
    for now in (0.0, seconds):
        patience.watch_moves({MAIL: ONE}, {MAIL: OTHER}, now, MOST, pairs)
    return MAIL in patience.stuck


def test_a_move_away_from_a_volume_that_hangs_is_given_less_time() -> None:
    assert not stuck_after(HANGING - 1, hanging=True)
    assert stuck_after(HANGING, hanging=True)
    assert not stuck_after(HANGING, hanging=False)
    assert stuck_after(MOST, hanging=False)
