"""An operator's certificate: what is refused, what is put in order, what is only said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import BadInput
from appliance.i18n import LANGUAGES, translate
from appliance.pki.authority import Pair, pem
from appliance.pki.operator import Judged, covers, judge

NOW = datetime(2030, 6, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issuer:
    """An authority of the outside world."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def certificate(
    common_name: str,
    key: Key,
    issuer: Issuer | None,
    *,
    authority: bool = False,
    names: tuple[str, ...] = ("mail.example.com",),
    days: tuple[int, int] = (-1, 200),
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


@cache
def issuer(name: str, above: Issuer | None = None) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    return Issuer(certificate(name, key, above, authority=True, days=(-1000, 3000)), key)


ROOT = issuer("Root")
MIDDLE = issuer("Middle", ROOT)
LOWER = issuer("Lower", MIDDLE)
KEY = ec.generate_private_key(ec.SECP256R1())
LEAF = certificate("mail.example.com", KEY, LOWER)


def key_pem(
    key: Key,
    style: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    secret: bytes | None = None,
) -> bytes:
    encryption = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, style, encryption)


def judged(cert: bytes, key: bytes = key_pem(KEY), chain: bytes = b"", roots: tuple[Issuer, ...] = (ROOT,)) -> Judged:
    return judge(cert, key, chain, "mail.example.com", NOW, [root.certificate for root in roots])


def keys_of(verdict: Judged) -> list[str]:
    for language in LANGUAGES:
        for warning in verdict.warnings:
            assert translate(warning.key, language, **dict(warning.facts))
    return [warning.key for warning in verdict.warnings]


def test_a_good_certificate_with_its_chain_passes_without_a_word() -> None:
    verdict = judged(pem(LEAF), chain=pem(LOWER.certificate) + pem(MIDDLE.certificate))
    assert keys_of(verdict) == []
    assert verdict.pair.certificate == pem(LEAF) + pem(LOWER.certificate) + pem(MIDDLE.certificate)


@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param([LEAF, LOWER.certificate, MIDDLE.certificate], id="in-order"),
        pytest.param([LEAF, MIDDLE.certificate, LOWER.certificate], id="chain-upside-down"),
        pytest.param([ROOT.certificate, MIDDLE.certificate, LOWER.certificate, LEAF], id="root-first"),
        pytest.param([LOWER.certificate, LEAF, MIDDLE.certificate, LEAF, LOWER.certificate], id="doubled"),
    ],
)
def test_whatever_the_order_in_the_file_the_leaf_comes_first_and_the_root_is_left_out(
    bundle: list[x509.Certificate],
) -> None:
    verdict = judged(b"".join(pem(each) for each in bundle))
    assert verdict.pair.certificate == pem(LEAF) + pem(LOWER.certificate) + pem(MIDDLE.certificate)
    assert keys_of(verdict) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        pytest.param(KEY, key_pem(KEY, serialization.PrivateFormat.TraditionalOpenSSL), id="ec-private-key"),
        pytest.param(
            KEY,
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
            + key_pem(KEY, serialization.PrivateFormat.TraditionalOpenSSL),
            id="ec-parameters-before",
        ),
        pytest.param(KEY, pem(LEAF) + key_pem(KEY), id="certificate-before"),
    ],
)
def test_keys_are_read_in_the_forms_that_tools_write(key: Key, text: bytes) -> None:
    assert judged(pem(LEAF), text).pair.key == key_pem(key)


def test_an_rsa_key_is_fine() -> None:
    key = rsa.generate_private_key(65537, 2048)
    leaf = certificate("mail.example.com", key, ROOT)
    text = key_pem(key, serialization.PrivateFormat.TraditionalOpenSSL)
    assert keys_of(judged(pem(leaf), text)) == []


def good(**options: object) -> Callable[[], tuple[bytes, bytes]]:
    return lambda: (pem(certificate("mail.example.com", KEY, ROOT, **options)), key_pem(KEY))  # type: ignore[arg-type]


def short_rsa() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, 1024)
    return pem(certificate("m", key, ROOT)), key_pem(key)


@pytest.mark.parametrize(
    ("files", "field", "problem"),
    [
        pytest.param(lambda: (b"", key_pem(KEY)), "cert", "tls-not-a-certificate", id="empty-certificate"),
        pytest.param(lambda: (b"\x30\x82\x01", key_pem(KEY)), "cert", "tls-not-a-certificate", id="der-certificate"),
        pytest.param(lambda: (pem(LEAF)[:300], key_pem(KEY)), "cert", "tls-not-a-certificate", id="cut-certificate"),
        pytest.param(lambda: (key_pem(KEY), key_pem(KEY)), "cert", "tls-not-a-certificate", id="key-as-certificate"),
        pytest.param(lambda: (pem(LEAF), pem(LEAF)), "key", "tls-not-a-key", id="certificate-as-key"),
        pytest.param(lambda: (pem(LEAF), key_pem(KEY)[:90]), "key", "tls-not-a-key", id="cut-key"),
        pytest.param(lambda: (pem(LEAF), b"x" * 300_000), "key", "tls-file-too-large", id="huge-key"),
        pytest.param(lambda: (b"x" * 300_000, key_pem(KEY)), "cert", "tls-file-too-large", id="huge-certificate"),
        pytest.param(lambda: (pem(LEAF), key_pem(KEY, secret=b"s")), "key", "tls-key-is-encrypted", id="encrypted"),
        pytest.param(
            lambda: (pem(LEAF), key_pem(KEY, serialization.PrivateFormat.TraditionalOpenSSL, b"secret")), "key",
            "tls-key-is-encrypted", id="encrypted-traditional",
        ),
        pytest.param(
            lambda: (pem(LEAF), key_pem(ec.generate_private_key(ec.SECP256R1()))), "key", "tls-key-of-another",
            id="another-key",
        ),
        pytest.param(good(days=(-300, -1)), "cert", "tls-expired", id="expired"),
        pytest.param(good(days=(1, 300)), "cert", "tls-not-yet-valid", id="not-yet-valid"),
        pytest.param(good(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)), "cert", "tls-not-for-servers", id="client-only"),
        pytest.param(short_rsa, "key", "tls-key-too-short", id="rsa-1024"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused_with_its_field(
    files: Callable[[], tuple[bytes, bytes]], field: str, problem: str
) -> None:
    with pytest.raises(BadInput) as caught:
        judged(*files())
    assert (caught.value.field, caught.value.key) == (field, problem)
    assert "PRIVATE KEY" not in str(caught.value) or problem == "tls-not-a-key"
    for language in LANGUAGES:
        assert translate(caught.value.key, language, **caught.value.facts)


def test_a_broken_chain_file_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        judged(pem(LEAF), chain=b"no certificate")
    assert caught.value.field == "chain"


def ed25519_pair() -> Pair:
    key = ed25519.Ed25519PrivateKey.generate()
    return Pair(pem(certificate("m", key, ROOT)), key_pem(key))


def self_signed() -> Pair:
    return Pair(pem(certificate("m", KEY, None)), key_pem(KEY))


@pytest.mark.parametrize(
    ("pair", "chain", "roots", "warnings"),
    [
        pytest.param(Pair(pem(LEAF), key_pem(KEY)), b"", (ROOT,), ["tls-chain-incomplete"], id="no-chain"),
        pytest.param(
            Pair(pem(LEAF), key_pem(KEY)), pem(LOWER.certificate), (ROOT,), ["tls-chain-incomplete"], id="half-a-chain"
        ),
        pytest.param(
            Pair(pem(certificate("m", KEY, ROOT)), key_pem(KEY)), pem(ROOT.certificate), (),
            ["tls-private-authority"], id="private-authority",
        ),
        pytest.param(
            Pair(pem(certificate("m", KEY, ROOT, names=("www.example.com",))), key_pem(KEY)), b"", (ROOT,),
            ["tls-name-not-covered"], id="another-host",
        ),
        pytest.param(
            Pair(pem(certificate("m", KEY, ROOT, days=(-80, 10))), key_pem(KEY)), b"", (ROOT,), ["tls-ends-soon"],
            id="ends-soon",
        ),
        pytest.param(
            Pair(pem(certificate("m", KEY, ROOT)), key_pem(KEY)), pem(issuer("Stranger").certificate), (ROOT,), [],
            id="an-unrelated-root-is-harmless",
        ),
        pytest.param(
            Pair(pem(certificate("m", KEY, ROOT)), key_pem(KEY)), pem(LOWER.certificate), (ROOT,), ["tls-left-out"],
            id="unrelated-intermediate",
        ),
        pytest.param(self_signed(), b"", (ROOT,), ["tls-self-signed"], id="self-signed"),
        pytest.param(ed25519_pair(), b"", (ROOT,), ["tls-uncommon-key"], id="ed25519"),
    ],
)  # fmt: skip
def test_what_is_only_odd_is_installed_with_a_warning(
    pair: Pair, chain: bytes, roots: tuple[Issuer, ...], warnings: list[str]
) -> None:
    assert keys_of(judged(pair.certificate, pair.key, chain, roots)) == warnings


@pytest.mark.parametrize(
    ("names", "hostname", "covered"),
    [
        pytest.param(("mail.example.com",), "mail.example.com", True, id="same"),
        pytest.param(("MAIL.example.com",), "mail.example.com", True, id="case"),
        pytest.param(("*.example.com",), "mail.example.com", True, id="wildcard"),
        pytest.param(("*.example.com",), "a.mail.example.com", False, id="wildcard-is-one-label"),
        pytest.param(("*.example.com",), "example.com", False, id="wildcard-is-not-the-parent"),
        pytest.param(("example.com",), "mail.example.com", False, id="parent"),
    ],
)
def test_names_cover_a_host_as_clients_judge_it(names: tuple[str, ...], hostname: str, covered: bool) -> None:
    assert covers(certificate("m", KEY, ROOT, names=names), hostname) is covered
