"""What Dovecot's quota rules and the script behind them call their events, besides percentages.

On its own, so that rendering the rules does not load what the script needs.
"""

from __future__ import annotations

from typing import Final

#: Nothing to tell yet, but Postfix has to ask from now on.
NEAR: Final = "near"
#: There is room again.
AWAY: Final = "away"
