"""`python -m appliance.mailbox_move.abandoned GROUP`: ends holds and removes old copies of moves that were cut off.

Prints the addresses as JSON: {"held": [...], "cleared": [...]}. Run by the agent on the node that owns the group.
"""

from __future__ import annotations

import json
import sys

from appliance.cluster.names import group_name
from appliance.directory.service import DirectoryService
from appliance.mailbox_move.move import clear_abandoned, let_go_abandoned


def main() -> None:
    """Entry point."""
    group = group_name(sys.argv[1])
    with DirectoryService.connect() as directory:
        held = let_go_abandoned(directory.mailboxes, group)
        cleared = clear_abandoned(directory.mailboxes, group)
    print(json.dumps({"held": [each.address for each in held], "cleared": [each.address for each in cleared]}))


if __name__ == "__main__":
    main()
