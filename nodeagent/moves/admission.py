"""Who may write a mailbox into a group's volume: only the node that owns the group in which the mailbox is now."""

from __future__ import annotations

from collections.abc import Callable, Collection

from appliance.cluster import keys
from appliance.cluster.model import OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination import revoked
from appliance.coordination.store import Store
from appliance.directory.model import Mailbox
from appliance.directory.service import DirectoryService
from appliance.errors import NotFound, PosthouseError
from appliance.ownership.records import OwnerSeen, owner_seen
from nodeagent.health.peer_wire import Shown
from nodeagent.moves import reception
from nodeagent.moves.wire import Request

FindMailbox = Callable[[str], Mailbox | None]


class Refused(PosthouseError):
    """The other node may not do this, or not now."""


def judge(
    request: Request,
    peer: NodeName,
    me: NodeName,
    *,
    nodes: Collection[NodeName],
    source: OwnerSeen | None,
    target: OwnerSeen | None,
    mailbox: Mailbox | None,
) -> None:
    """Raise Refused unless `peer` may have this node take the mailbox in. Pure.

    `source` and `target` are the owners of the request's groups, `mailbox` is what the directory has at its address.
    """
    if peer not in nodes or request.source == request.target or not _owns(peer, source):
        raise Refused("move-not-owner", node=peer, group=request.source)
    if not _owns(me, target):
        raise Refused("move-group-not-there", group=request.target)
    # once the directory says that it is here, the home is in use
    if mailbox is None or (mailbox.id, mailbox.group) != (request.id, request.source):
        raise Refused("move-hold-lost", address=request.address)


class Admission:
    """Asks the store and the directory anew each time."""

    def __init__(self, me: NodeName, connect: Callable[[], Store], find_mailbox: FindMailbox | None = None) -> None:
        self._me = me
        self._connect = connect
        self._find_mailbox = find_mailbox or _in_directory

    def require(self, request: Request, shown: Shown) -> None:
        """Raise Refused, or Unavailable when this cannot be told now. `shown`: the other node's certificate."""
        peer = NodeName(shown.name)
        with self._connect() as store:
            nodes = {NodeName(record.key.removeprefix(keys.NODES)) for record in store.list(keys.NODES)[0]}
            if revoked.contains(store, shown.serial):
                nodes.discard(peer)
            source, target = (_owner(store, group) for group in (request.source, request.target))
        mailbox = self._find_mailbox(request.address) if peer in nodes else None
        judge(request, peer, self._me, nodes=nodes, source=source, target=target, mailbox=mailbox)
        reception.require_here(request.target)


def _owner(store: Store, group: GroupName) -> OwnerSeen | None:
    record = store.get(keys.owner(group))
    return owner_seen(record) if record is not None else None


def _owns(node: NodeName, owner: OwnerSeen | None) -> bool:
    return owner is not None and owner.record.node == node and owner.record.stage is OwnershipStage.CONFIRMED


def _in_directory(address: str) -> Mailbox | None:
    """What the directory's writer has: a copy may be behind."""
    try:
        with DirectoryService.connect() as directory:
            return directory.mailboxes.find(address)
    except NotFound:
        return None
