"""`python -m appliance.mailbox_move.abandoned GROUP`: end the holds that moves left behind which were cut off.

Prints the addresses as JSON. Run by the agent on the node that owns the group.
"""

from __future__ import annotations

import json
import sys

from appliance.cluster.names import group_name
from appliance.directory.service import DirectoryService
from appliance.mailbox_move.move import let_go_abandoned


def main() -> None:
    """Entry point."""
    with DirectoryService.connect() as directory:
        found = let_go_abandoned(directory.mailboxes, group_name(sys.argv[1]))
    print(json.dumps([mailbox.address for mailbox in found]))


if __name__ == "__main__":
    main()
