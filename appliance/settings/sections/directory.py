"""The directory (OpenLDAP's mdb back end)."""

from __future__ import annotations

from appliance.settings.kinds import Integer, Size
from appliance.settings.parameter import PER_NODE, Apply, Check, Parameter
from appliance.settings.units import parse_size

PARAMETERS = (
    # A bound, not a reservation: the file is sparse. A million mailboxes take about 1.1G.
    Parameter(
        "directory.max_size", Size(parse_size("64M"), parse_size("1T")), parse_size("16G"), PER_NODE, Apply.RESTART
    ),
    Parameter("directory.threads", Integer(2, 256), 4, unit="unit-threads", scopes=PER_NODE, apply=Apply.RESTART),
)

CHECKS: tuple[Check, ...] = ()
