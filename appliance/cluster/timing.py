"""The times of the ownership protocol and the inequalities they must keep.

Values that break an inequality are refused, never clamped. Why each must hold: docs/developers/takeover.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum

from appliance.cluster.names import Seconds
from appliance.errors import BadInput


class FenceMode(StrEnum):
    """What proves that a silent owner cannot write any more."""

    #: A storage or power fence; a watchdog, if there is one, is not taken as proof.
    FENCED = "fenced"
    #: An armed watchdog and time, alone or as the way out when a fence fails.
    WATCHDOG = "watchdog"


@dataclass(frozen=True)
class Timing:
    """All in seconds. The defaults suit storage or power fencing; `starting` gives those of either mode."""

    renew: Seconds = Seconds(2.0)  # R: between two renewals of the session
    reply: Seconds = Seconds(1.5)  # r: deadline of one renewal
    demote: Seconds = Seconds(5.0)  # D: after the last good renewal was sent, the node owns nothing
    kill: Seconds = Seconds(2.0)  # K: how long dropping everything may take
    watchdog: Seconds = Seconds(7.0)  # W: the watchdog's time-out
    margin: Seconds = Seconds(1.0)  # delta: what two nodes' clocks may differ over these spans
    takeover: Seconds = Seconds(10.0)  # T: silence after which an observer may act

    @classmethod
    def starting(cls, mode: FenceMode) -> Timing:
        """The values to begin with: T is 10 s with a fence, 15 s where the watchdog is the proof."""
        return cls(takeover=Seconds(15.0)) if mode is FenceMode.WATCHDOG else cls()

    def check(self, *, watchdog_only: bool = False) -> Timing:
        """Return self; raise BadInput naming the first inequality that does not hold, and both its sides.

        `watchdog_only`: nothing but the watchdog proves that an owner is off (FenceMode.WATCHDOG).
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise BadInput("timing", "bad-timing", rule=f"0 < {field.name}", left=0, right=value)
        rules = [
            ("R + 2r <= D", self.renew + 2 * self.reply, self.demote),
            ("D + K <= W", self.demote + self.kill, self.watchdog),
            ("r + W + delta <= T", self.reply + self.watchdog + self.margin, self.takeover),
        ]
        if watchdog_only:
            rules.append(("2W + delta <= T", 2 * self.watchdog + self.margin, self.takeover))
        for rule, left, right in rules:
            if not left <= right + 1e-9:  # 0.1 + 0.2 is not more than 0.3
                raise BadInput("timing", "bad-timing", rule=rule, left=left, right=right)
        return self

    def check_for(self, mode: FenceMode) -> Timing:
        """`check` with the inequalities of a fence mode."""
        return self.check(watchdog_only=mode is FenceMode.WATCHDOG)
