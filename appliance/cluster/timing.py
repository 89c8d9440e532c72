"""The times of the ownership protocol and the inequalities they must keep.

Values that break an inequality are refused, never clamped (docs/developers/ownership.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.cluster.names import Seconds
from appliance.errors import BadInput


@dataclass(frozen=True)
class Timing:
    """All in seconds. The defaults suit storage or power fencing."""

    renew: Seconds = Seconds(2.0)  # R: between two renewals of the session
    reply: Seconds = Seconds(1.5)  # r: deadline of one renewal
    demote: Seconds = Seconds(5.0)  # D: after the last good renewal was sent, the node owns nothing
    kill: Seconds = Seconds(2.0)  # K: how long dropping everything may take
    watchdog: Seconds = Seconds(7.0)  # W: the watchdog's time-out
    margin: Seconds = Seconds(1.0)  # delta: what two nodes' clocks may differ over these spans
    takeover: Seconds = Seconds(10.0)  # T: silence after which an observer may act

    def check(self, *, watchdog_only: bool = False) -> Timing:
        """Return self; raise BadInput naming the first inequality that does not hold."""
        rules = [
            ("R > 0", self.renew > 0 and self.reply > 0 and self.kill > 0 and self.margin > 0),
            ("R + 2r <= D", self.renew + 2 * self.reply <= self.demote),
            ("D + K <= W", self.demote + self.kill <= self.watchdog),
            ("r + W + delta <= T", self.reply + self.watchdog + self.margin <= self.takeover),
        ]
        if watchdog_only:
            rules.append(("2W + delta <= T", 2 * self.watchdog + self.margin <= self.takeover))
        for rule, holds in rules:
            if not holds:
                raise BadInput("timing", "bad-timing", rule=rule)
        return self
