"""Who may write a mailbox into a group's volume, what receives it, and what passes between the nodes."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cluster.model import Ownership, OwnershipStage
from appliance.cluster.names import GroupName, NodeName
from appliance.coordination.store import Store
from appliance.directory.model import Mailbox, Status, home
from appliance.ownership.records import OwnerSeen
from nodeagent.health.peer_wire import PeerTls, Shown
from nodeagent.moves import reception, wire
from nodeagent.moves.admission import Admission, Refused, judge
from nodeagent.moves.receiver import Receiver
from nodeagent.moves.wire import Mode, Request

ID = "0123456789abcdef" * 2
ONE, TWO, THREE = NodeName("one"), NodeName("two"), NodeName("three")
MAIL, OTHER = GroupName("mail"), GroupName("other")
MAILBOX = Mailbox(
    address="anna@x.test",
    id=ID,
    name=None,
    status=Status.ACTIVE,
    refuse_mail=False,
    quota=0,
    group=MAIL,
    path=home(ID),
    logins=(),
    has_password=True,
    password_changed_at=None,
    previous_address=None,
    deleted_at=None,
    description=None,
)
REQUEST = Request(mode=Mode.COPY, source=MAIL, target=OTHER, address="anna@x.test", id=ID)


def owned(group: GroupName, node: NodeName, stage: OwnershipStage = OwnershipStage.CONFIRMED) -> OwnerSeen:
    return OwnerSeen(Ownership(group=group, node=node, session_epoch=3, stage=stage), 9)


def verdict(
    peer: NodeName = ONE,
    *,
    source: OwnerSeen | None = owned(MAIL, ONE),  # noqa: B008 - frozen
    target: OwnerSeen | None = owned(OTHER, TWO),  # noqa: B008 - frozen
    mailbox: Mailbox | None = MAILBOX,
    request: Request = REQUEST,
) -> str:
    try:
        judge(request, peer, TWO, nodes={ONE, TWO, THREE}, source=source, target=target, mailbox=mailbox)
    except Refused as refused:
        return refused.key
    return ""


def test_the_owner_of_the_mailboxs_group_may() -> None:
    assert verdict() == ""


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        pytest.param(THREE, owned(MAIL, ONE), id="another node"),
        pytest.param(NodeName("stranger"), owned(MAIL, NodeName("stranger")), id="no node of the cluster"),
        pytest.param(NodeName(""), owned(MAIL, ONE), id="no certificate"),
        pytest.param(ONE, owned(MAIL, ONE, OwnershipStage.GRANTED), id="not the owner yet"),
        pytest.param(ONE, None, id="nobody owns it"),
    ],
)
def test_nobody_else_may(peer: NodeName, source: OwnerSeen | None) -> None:
    assert verdict(peer, source=source) == "move-not-owner"


@pytest.mark.parametrize("target", [owned(OTHER, THREE), owned(OTHER, TWO, OwnershipStage.GRANTED), None])
def test_only_who_owns_the_target_takes_it_in(target: OwnerSeen | None) -> None:
    assert verdict(target=target) == "move-group-not-there"


@pytest.mark.parametrize(
    "mailbox",
    [
        pytest.param(replace(MAILBOX, group=OTHER), id="it is here already, and in use"),
        pytest.param(replace(MAILBOX, id="f" * 32), id="another mailbox of that name"),
        pytest.param(None, id="no such mailbox"),
    ],
)
def test_only_what_is_in_that_group_now(mailbox: Mailbox | None) -> None:
    assert verdict(mailbox=mailbox) == "move-hold-lost"


def test_a_group_gives_nothing_to_itself() -> None:
    assert verdict(request=REQUEST.model_copy(update={"target": MAIL})) == "move-not-owner"


@pytest.mark.parametrize("bad", ["../" + ID[3:], ID.upper(), ID + "0", "", f"{ID}\n"])
def test_an_identity_leads_nowhere_else(bad: str) -> None:
    with pytest.raises(ValueError, match="id"):
        Request(mode=Mode.COPY, source=MAIL, target=OTHER, address="a@x.test", id=bad)


def test_the_receiving_side_sees_one_home_and_ends_with_the_group() -> None:
    words = reception.command(OTHER, ID, Mode.COPY)
    properties = [each.removeprefix("--property=") for each in words if each.startswith("--property=")]
    for wanted in (
        f"BindPaths=/srv/posthouse/other/mailboxes/01/{ID}",
        "TemporaryFileSystem=/srv:ro",
        "User=vmail",
        "CapabilityBoundingSet=",
        "PrivateNetwork=yes",
        "ConditionPathExists=/run/posthouse/owned/other",
    ):
        assert wanted in properties
    assert words[words.index("--slice") + 1] == "posthouse-other.slice"
    assert not any(each.startswith("ReadWritePaths") for each in properties)
    assert "-n" in reception.command(OTHER, ID, Mode.COMPARE)[-1], "a comparison writes nothing"
    for mode in (Mode.COPY, Mode.COMPARE):  # a link out of the home would lead Dovecot to another's mail
        assert "--safe-links" in reception.command(OTHER, ID, mode)[-1]


@pytest.mark.parametrize("copied", [0, 12, 23, 24])
@pytest.mark.parametrize("synchronised", [0, 1])
def test_what_was_received_is_on_disk_before_it_is_told_how_it_went(
    copied: int, synchronised: int, tmp_path: Path
) -> None:
    for name, status in (("rsync", copied), ("sync", synchronised)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/done\nexit {status}\n")
        (tmp_path / name).chmod(0o700)
    shell = reception.command(OTHER, ID, Mode.COPY)[-3:]
    told = subprocess.run(shell, env={"PATH": str(tmp_path)}, check=False, timeout=20).returncode
    assert (tmp_path / "done").read_text().split() == ["rsync", "sync"]
    assert told == (synchronised or copied)


def test_frames_come_through_whole_and_a_cut_is_no_end() -> None:
    async def pass_on(cut: int) -> bytes:
        source, peer = asyncio.StreamReader(), asyncio.StreamReader()
        source.feed_data(b"x" * 200_000)
        source.feed_eof()
        sent, sunk = _Sink(), _Sink()
        await wire.send(source, sent)  # type: ignore[arg-type]
        peer.feed_data(bytes(sent.data[: len(sent.data) - cut]))
        peer.feed_eof()
        await wire.receive(peer, sunk)  # type: ignore[arg-type]
        return bytes(sunk.data)

    assert asyncio.run(pass_on(0)) == b"x" * 200_000
    with pytest.raises(ConnectionResetError):
        asyncio.run(pass_on(1))


def test_who_waited_for_another_reception_to_end_is_judged_anew() -> None:
    """Meanwhile the mailbox may have been given to this node's group, and be in use."""
    asked: list[Request] = []

    class Hesitant(Admission):
        def require(self, request: Request, shown: Shown) -> None:
            asked.append(request)
            if len(asked) > 1:
                raise Refused("move-hold-lost", address=request.address)

    def no_store() -> Store:
        raise AssertionError

    async def answered() -> bytes:
        receiver = Receiver(Hesitant(TWO, no_store), PeerTls())
        before = asyncio.create_task(asyncio.sleep(60.0))
        receiver._receiving[ID] = before
        reader, sink = asyncio.StreamReader(), _Sink()
        reader.feed_data(REQUEST.model_dump_json().encode() + b"\n")
        await receiver._serve(Shown(ONE, "01"), reader, sink)  # type: ignore[arg-type]
        assert before.cancelled()
        return bytes(sink.data)

    assert wire.Answer.model_validate_json(asyncio.run(answered())).refused == "move-hold-lost"


class _Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        return None

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        return None
