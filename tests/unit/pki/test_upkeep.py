"""What a node needs is made, renewed in time, and an operator's own certificate is left alone."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance import durable_files
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.errors import PosthouseError
from appliance.node_file import STORE_NAME, NodeFile
from appliance.pki import upkeep
from appliance.pki.authority import Authority, Profile, names_of
from appliance.pki.names import CONTROL_NAME, MAIL_NAME

NODE = NodeFile(name=NodeName("n1"), hostname="mail.example.com", roles=frozenset({Role.CONTROL, Role.STORE}))
NOW = datetime.now(UTC)


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(durable_files, "group_id", lambda _: os.getgid())
    folder = tmp_path / "pki"
    upkeep.ensure_authority("mail.example.com", folder)
    return folder


def names(pki: Path) -> dict[str, frozenset[str]]:
    return {slot.name: names_of(pair.leaf()) for slot in upkeep.slots(pki) if (pair := slot.read())}


def test_everything_is_made_once(pki: Path) -> None:
    assert upkeep.ensure(NODE, folder=pki) == ("node", "etcd", "mail", "inside", "relay")
    assert upkeep.ensure(NODE, folder=pki) == ()
    made = names(pki)
    assert made["inside"] == made["relay"] == {MAIL_NAME}
    assert made["mail"] == {"mail.example.com"}
    inside = {"mail.example.com", "n1", "localhost", "127.0.0.1", "::1"}
    assert made["node"] == inside | {CONTROL_NAME}
    assert made["etcd"] == inside | {STORE_NAME}
    assert (pki / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_authority_is_made_once(pki: Path) -> None:
    first = (pki / "ca.crt").read_bytes()
    upkeep.ensure_authority("mail.example.com", pki)
    assert (pki / "ca.crt").read_bytes() == first


def test_a_new_address_gets_into_the_node_s_certificates_only(pki: Path) -> None:
    upkeep.ensure(NODE, folder=pki)
    assert upkeep.ensure(NODE, [ip_address("10.0.0.7")], pki) == ("node", "etcd")
    assert "10.0.0.7" in names(pki)["node"]
    assert upkeep.ensure(NODE, folder=pki) == (), "a name too many does no harm"


@pytest.mark.parametrize(
    ("days", "renewed"),
    [
        pytest.param(0, (), id="fresh"),
        pytest.param(260, (), id="mail-not-yet"),
        pytest.param(270, ("mail",), id="mail-due"),
        pytest.param(490, ("node", "etcd", "mail", "inside", "relay"), id="all-due"),
        pytest.param(900, ("node", "etcd", "mail", "inside", "relay"), id="all-expired"),
    ],
)
def test_certificates_are_renewed_in_their_last_third(pki: Path, days: int, renewed: tuple[str, ...]) -> None:
    upkeep.ensure(NODE, folder=pki, now=NOW)
    assert upkeep.ensure(NODE, folder=pki, now=NOW + timedelta(days=days)) == renewed


def test_an_operator_s_certificate_is_never_replaced_by_itself(pki: Path) -> None:
    upkeep.ensure(NODE, folder=pki)
    own = Authority.create("other").issue(Profile.MAIL, "m", ["other.example.com"], now=NOW - timedelta(days=390))
    upkeep.mail_slot(pki).write(own)
    assert upkeep.ensure(NODE, folder=pki) == ()
    assert upkeep.mail_slot(pki).read() == own


def test_a_new_certificate_of_the_authority_replaces_even_the_operator_s_when_asked_for(pki: Path) -> None:
    upkeep.mail_slot(pki).write(Authority.create("other").issue(Profile.MAIL, "m", ["other.example.com"]))
    upkeep.issue_mail(NODE, pki)
    assert names(pki)["mail"] == {"mail.example.com"}


def test_a_node_without_the_authority_s_key_issues_nothing(pki: Path) -> None:
    (pki / "ca.key").unlink()
    assert upkeep.ensure(NODE, folder=pki) == ()
    with pytest.raises(PosthouseError) as caught:
        upkeep.issue_mail(NODE, pki)
    assert caught.value.key == "tls-authority-key-missing"
    with pytest.raises(PosthouseError):
        upkeep.ensure_authority("mail.example.com", pki)


def test_a_crash_between_key_and_certificate_of_the_authority_is_mended(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_text("half of something")
    upkeep.ensure_authority("mail.example.com", tmp_path)
    assert upkeep.load_authority(tmp_path) is not None
