"""The folders of Postfix's queue, with the owners that post-install(1) gives them.

The unit runs master(8) itself: the script behind `postfix start-fg` first walks the
whole queue with find(1), which takes seconds where 100,000 messages wait. What that
script does besides is done here (folders) and in the unit (postsuper(1)).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from appliance.errors import PosthouseError

_DEADLINE: Final = 30.0

#: name, owner, group, mode
SPOOL: Final = (
    ("active", "postfix", "root", 0o700),
    ("bounce", "postfix", "root", 0o700),
    ("corrupt", "postfix", "root", 0o700),
    ("defer", "postfix", "root", 0o700),
    ("deferred", "postfix", "root", 0o700),
    ("flush", "postfix", "root", 0o700),
    ("hold", "postfix", "root", 0o700),
    ("incoming", "postfix", "root", 0o700),
    ("maildrop", "postfix", "postdrop", 0o1730),
    ("pid", "root", "root", 0o755),
    ("private", "postfix", "root", 0o700),
    ("public", "postfix", "postdrop", 0o710),
    ("saved", "postfix", "root", 0o700),
    ("trace", "postfix", "root", 0o700),
)


def try_deferred(config: Path) -> None:
    """Have the queue manager try all deferred mail now (postqueue(1)). Raises PosthouseError."""
    try:
        subprocess.run(
            ["postqueue", "-c", str(config), "-f"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEADLINE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise PosthouseError("program-failed", program="postqueue -f", detail=error.stderr.strip()[-300:]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PosthouseError("program-failed", program="postqueue -f", detail=str(error)) from error
