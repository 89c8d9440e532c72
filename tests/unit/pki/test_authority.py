"""The installation's authority: certificates that strict verifiers accept, for what they are meant and no more."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from appliance.pki.authority import BACKDATE, Authority, Pair, Profile, issued_by, names_of, renewal_due

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = Authority.create("mail.example.com")


def handshake(server: Pair, client: Pair | None, name: str, tmp_path: Path) -> None:
    """A TLS handshake in memory; raises ssl.SSLError when either side refuses the other."""
    for file, pair in (("s", server), ("c", client)):
        if pair is not None:
            (tmp_path / f"{file}.pem").write_bytes(pair.certificate + pair.key)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pair().certificate)
    of_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    of_server.load_cert_chain(tmp_path / "s.pem")
    of_client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    of_client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    if client is not None:
        of_server.verify_mode = ssl.CERT_REQUIRED
        of_server.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
        of_client.load_cert_chain(tmp_path / "c.pem")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        of_client.wrap_bio(to_client, to_server, server_hostname=name),
        of_server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["n1.example.com", "127.0.0.1", "::1", "10.1.2.3"])
def test_nodes_accept_each_other_strictly_by_name_and_address(name: str, tmp_path: Path) -> None:
    addresses = [ip_address(text) for text in ("127.0.0.1", "::1", "10.1.2.3")]
    node = AUTHORITY.issue(Profile.NODE, "n1", ["n1.example.com"], addresses)
    handshake(node, node, name, tmp_path)


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path) -> None:
    node = AUTHORITY.issue(Profile.NODE, "n1", ["n1.example.com"])
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        handshake(node, node, "n2.example.com", tmp_path)


def test_a_mail_certificate_cannot_be_used_as_a_client(tmp_path: Path) -> None:
    node = AUTHORITY.issue(Profile.NODE, "n1", ["n1.example.com"])
    mail = AUTHORITY.issue(Profile.MAIL, "mail.example.com", ["mail.example.com"])
    handshake(mail, None, "mail.example.com", tmp_path)
    with pytest.raises(ssl.SSLError, match=r"unsuitable certificate purpose|unsupported certificate"):
        handshake(node, mail, "n1.example.com", tmp_path)


def test_a_certificate_of_another_installation_is_refused(tmp_path: Path) -> None:
    foreign = Authority.create("mail.example.com").issue(Profile.MAIL, "m", ["mail.example.com"])
    with pytest.raises(ssl.SSLError, match="unable to get local issuer"):
        handshake(foreign, None, "mail.example.com", tmp_path)


def test_authorities_of_the_same_host_have_different_names() -> None:
    other = Authority.create("mail.example.com")
    assert other.certificate.subject != AUTHORITY.certificate.subject


def test_a_long_host_name_still_gets_a_certificate() -> None:
    name = f"{'a' * 60}.{'b' * 60}.example.com"
    leaf = Authority.create(name).issue(Profile.MAIL, name, [name]).leaf()
    assert names_of(leaf) == {name}


def test_serial_numbers_and_keys_are_never_the_same() -> None:
    leaves = [AUTHORITY.issue(Profile.MAIL, "m", ["m.example.com"]).leaf() for _ in range(5)]
    assert len({leaf.serial_number for leaf in leaves}) == 5
    assert len({leaf.public_key().public_numbers() for leaf in leaves}) == 5  # type: ignore[union-attr]


def test_the_key_identifiers_link_a_leaf_to_its_authority() -> None:
    leaf = AUTHORITY.issue(Profile.NODE, "n1", ["n1.example.com"]).leaf()
    of_leaf = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    of_authority = AUTHORITY.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert of_leaf == of_authority.key_identifier
    assert issued_by(leaf, AUTHORITY.certificate)


@pytest.mark.parametrize(
    ("profile", "days", "client"),
    [pytest.param(Profile.NODE, 730, True, id="node"), pytest.param(Profile.MAIL, 397, False, id="mail")],
)
def test_each_kind_has_its_life_and_usages(profile: Profile, days: int, client: bool) -> None:
    leaf = AUTHORITY.issue(profile, "x", ["x.example.com"], now=NOW).leaf()
    usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=days)
    assert leaf.not_valid_before_utc == NOW - BACKDATE
    assert (ExtendedKeyUsageOID.CLIENT_AUTH in usages) is client
    assert ExtendedKeyUsageOID.SERVER_AUTH in usages


def test_no_certificate_outlives_its_authority() -> None:
    old = Authority.create("m.example.com", NOW - timedelta(days=3600))
    leaf = old.issue(Profile.NODE, "x", ["x.example.com"], now=NOW).leaf()
    assert leaf.not_valid_after_utc <= old.certificate.not_valid_after_utc


def test_an_authority_is_read_back_from_its_pair() -> None:
    again = Authority.load(AUTHORITY.pair())
    assert again.issued(AUTHORITY.issue(Profile.NODE, "x", ["x.example.com"]).leaf())


def test_an_authority_with_the_wrong_key_is_refused() -> None:
    other = Authority.create("other.example.com").pair()
    with pytest.raises(ValueError, match="does not belong"):
        Authority.load(Pair(AUTHORITY.pair().certificate, other.key))


_LEAF = AUTHORITY.issue(Profile.MAIL, "m", ["m.example.com"], now=NOW).leaf()


@given(day=st.floats(min_value=-10, max_value=500))
def test_a_certificate_is_due_in_the_last_third_of_its_life(day: float) -> None:
    moment = _LEAF.not_valid_before_utc + timedelta(days=day)
    assert renewal_due(_LEAF, moment) is (timedelta(days=397) - timedelta(days=day) < timedelta(days=397) / 3)
