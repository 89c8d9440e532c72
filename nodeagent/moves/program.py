"""`python -m nodeagent.moves.program GROUP address=ADDRESS target=GROUP`: moves a mailbox out of a group of this node.

A run of scheduled work (nodeagent/work): in the group's slice, so that it ends with the group. It prints a line of JSON
for each step, and one for how it ended (appliance/operations/mailbox_moves.py reads them).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from appliance import node_file
from appliance.cluster.names import GroupName, NodeName, group_name
from appliance.coordination import connect
from appliance.directory.model import Mailbox
from appliance.directory.service import DirectoryService
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move.move import Moved, Target, move
from appliance.operations import mailbox_moves
from nodeagent.moves import targets


def main() -> None:
    """Entry point."""
    try:
        done = _move(sys.argv[1:])
    except (PosthouseError, OSError) as error:
        print(mailbox_moves.failed(error), flush=True)
        sys.exit(error.exit_code if isinstance(error, PosthouseError) else 1)
    print(mailbox_moves.ended(done), flush=True)


def _move(words: Sequence[str]) -> Moved:
    group, given = group_name(words[0]), dict(word.partition("=")[::2] for word in words[1:])
    node, target = node_file.read(), group_name(given["target"])
    with DirectoryService.connect() as directory:
        mailbox = directory.mailboxes.find(given["address"])
        if mailbox.group != group:
            raise Unavailable("move-hold-lost", address=mailbox.address)
        return move(directory.mailboxes, mailbox, _target(node.name, mailbox, target), _say)


def _target(me: NodeName, mailbox: Mailbox, target: GroupName) -> Target:
    with connect() as store:
        return targets.find(store, me, mailbox, target)


def _say(key: str) -> None:
    print(mailbox_moves.step(key), flush=True)


if __name__ == "__main__":
    main()
