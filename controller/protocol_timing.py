"""The installation's timing as the controller uses it: one that breaks an inequality is refused, not clamped."""

from __future__ import annotations

from appliance.cluster import keys
from appliance.cluster.decided import ProtocolTiming
from appliance.cluster.names import Seconds
from appliance.cluster.timing import Timing
from controller.view import View


def timing_of(view: View) -> Timing:
    """What `desired/timing` says, or the defaults where it says nothing. Raises BadInput naming what does not hold."""
    seen = view.table(keys.TIMING).get("")
    if seen is None:
        return Timing()
    said: ProtocolTiming = seen.fact
    return Timing(
        renew=Seconds(said.renew),
        reply=Seconds(said.reply),
        demote=Seconds(said.demote),
        kill=Seconds(said.kill),
        watchdog=Seconds(said.watchdog),
        margin=Seconds(said.margin),
        takeover=Seconds(said.takeover),
    ).check_for(said.mode)
