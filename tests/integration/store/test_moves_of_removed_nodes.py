"""The receiver of moving mailboxes, as it runs on nodes, and what a removed server has. On a real etcd."""

from __future__ import annotations

import asyncio
import functools
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from appliance import paths
from appliance.cluster import keys
from appliance.cluster.model import Ownership, OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.directory.model import Mailbox, Status, home
from appliance.pki.authority import Authority, Pair, Profile
from appliance.pki.pairs import PairSlot
from appliance.pki.upkeep import LOOPBACK
from nodeagent.health.peer_wire import PeerTls
from nodeagent.moves import wire
from nodeagent.moves.admission import Admission
from nodeagent.moves.receiver import Receiver
from nodeagent.moves.wire import Answer, Mode, Request
from tests.integration.etcd_server import free_port
from tests.integration.store.test_removed_nodes import CONTROL, GONE, Cluster, cluster

__all__ = ["cluster"]

MAIL, OTHER = GroupName("mail"), GroupName("other")
ID = "0123456789abcdef" * 2
MAILBOX = Mailbox(
    address="anna@x.test", id=ID, name=None, status=Status.ACTIVE, refuse_mail=False, quota=0, group=MAIL,
    path=home(ID), logins=(), has_password=True, password_changed_at=None, previous_address=None, deleted_at=None,
    description=None,
)  # fmt: skip


class Served:
    """The receiver of a node that owns the group `other`, asked by whoever has a certificate."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._port = free_port()

    def told(self, pair: Pair, mode: Mode) -> str:
        """What the receiver answers who shows this certificate: `may`, or why not; empty when it hangs up."""
        return asyncio.run(self._told(pair, mode))

    async def _told(self, pair: Pair, mode: Mode) -> str:
        admission = Admission(CONTROL, functools.partial(self._cluster.server.store, deadline=10), lambda _: MAILBOX)
        serving = asyncio.create_task(Receiver(admission, PeerTls(self._cluster.pki), self._port).serve("127.0.0.1"))
        try:
            async with asyncio.timeout(30):
                return await self._asked(pair, mode)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _asked(self, pair: Pair, mode: Mode) -> str:
        folder = self._cluster.pki / "asking"
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(self._cluster.authority.pair().certificate)
        PairSlot(folder, "node").write(pair)
        tls = PeerTls(folder)
        tls.refresh()
        reader, writer = await self._connection(tls.client)
        try:
            await wire.say(writer, Request(mode=mode, source=MAIL, target=OTHER, address=MAILBOX.address, id=ID))
            return Answer.model_validate_json(await wire.heard(reader)).refused or "may"
        except (ConnectionError, ssl.SSLError):
            return ""
        finally:
            writer.transport.abort()

    async def _connection(self, tls: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:  # until it listens
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection("127.0.0.1", self._port, ssl=tls)
            await asyncio.sleep(0.05)


@pytest.fixture
def served(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    for name, folder in (("OWNED", tmp_path / "owned"), ("VOLUMES", tmp_path / "srv")):
        folder.mkdir()
        monkeypatch.setattr(paths, name, folder)
    paths.owned_marker(OTHER).touch()
    (paths.volume(OTHER) / "mailboxes").mkdir(parents=True)
    own(cluster, OTHER, CONTROL)
    return Served(cluster)


def own(cluster: Cluster, group: GroupName, node: NodeName) -> None:
    owner = Ownership(group=group, node=node, session_epoch=1, stage=OwnershipStage.CONFIRMED)
    cluster.store.put(keys.owner(group), owner.model_dump_json())


def test_a_revoked_certificate_moves_no_mailbox_when_another_server_has_its_name(
    served: Served,
    cluster: Cluster,
) -> None:
    old = cluster.join()
    own(cluster, MAIL, GONE)
    assert served.told(old, Mode.ASK) == "may"
    cluster.store.delete(keys.owner(MAIL))
    cluster.remove()
    new = cluster.join()
    own(cluster, MAIL, GONE)
    assert {served.told(old, mode) for mode in Mode} == {"move-not-owner"}
    assert served.told(new, Mode.ASK) == "may"


def test_a_removed_server_moves_no_mailbox(served: Served, cluster: Cluster) -> None:
    old = cluster.join()
    cluster.remove()
    own(cluster, MAIL, GONE)  # as it would be if it had forged that
    assert {served.told(old, mode) for mode in Mode} == {"move-not-owner"}


def test_who_another_authority_vouches_for_is_hung_up_on(served: Served) -> None:
    foreign = Authority.create("other").issue(Profile.NODE, GONE, ["localhost"], LOOPBACK)
    assert served.told(foreign, Mode.ASK) == ""
