"""Judging a certificate that an operator brings for SMTP, IMAP and POP3.

What could not work is refused (wrong key, expired, broken file); what only looks odd is a
warning, because an operator may know better (another host name, a private authority).
The chain is put in the order that RFC 8446, 4.4.2 wants: leaf first, each next one its
issuer, without the root.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.cluster.report import Notice
from appliance.errors import BadInput
from appliance.pki.authority import Pair, issued_by, names_of, pem

#: Larger files are no certificates.
MAX_FILE = 256 * 1024
#: Shortest RSA key (CA/Browser Forum Baseline Requirements 6.1.5).
MIN_RSA = 2048
#: A certificate that ends sooner than this is worth a word.
SOON = timedelta(days=14)
SYSTEM_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Judged:
    """What to install, and what the operator should know."""

    pair: Pair
    warnings: tuple[Notice, ...]


def judge(  # noqa: PLR0917 - three files and the surroundings they are judged by
    certificate: bytes,
    key: bytes,
    chain: bytes,
    hostname: str,
    now: datetime,
    roots: Sequence[x509.Certificate] = (),
) -> Judged:
    """Check an operator's files and put them in order.

    `chain` may be empty; the certificate's file may hold the chain too. `roots` are the authorities
    that ordinary clients trust. Raises BadInput naming `cert`, `key` or `chain`.
    """
    private = read_key(key)
    brought = read_certificates("cert", certificate)
    leaf = next((each for each in brought if each.public_key() == private.public_key()), None)
    if leaf is None:
        raise BadInput("key", "tls-key-of-another", subject=subject_of(brought[0]))
    _refuse_unusable(leaf, private, now)
    others = brought + (read_certificates("chain", chain) if chain.strip() else [])
    ordered = _in_order(leaf, others)
    noticed = [
        *_name_warnings(leaf, hostname),
        *_time_warnings(ordered, now),
        *_key_warnings(private),
        *_trust_warnings(ordered, others, roots),
    ]
    text = b"".join(pem(each) for each in ordered)
    return Judged(Pair(text, _key_text(private)), tuple(noticed))


def read_certificates(field: str, text: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM file; raise BadInput when there is none."""
    if len(text) > MAX_FILE:
        raise BadInput(field, "tls-file-too-large", limit=MAX_FILE)
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise BadInput(field, "tls-not-a-certificate", detail=_one_line(error)) from error


def read_key(text: bytes) -> PrivateKeyTypes:
    """The private key of a PEM file; raise BadInput. Nothing of the key is ever in the message."""
    if len(text) > MAX_FILE:
        raise BadInput("key", "tls-file-too-large", limit=MAX_FILE)
    begin = _key_begins(text)
    if begin is None:
        raise BadInput("key", "tls-not-a-key")
    try:
        return serialization.load_pem_private_key(text[begin:], password=None)
    except TypeError as error:
        raise BadInput("key", "tls-key-is-encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("key", "tls-not-a-key") from error


def system_roots(path: Path = SYSTEM_ROOTS) -> list[x509.Certificate]:
    """The authorities of Debian's ca-certificates; none where it is not installed or not readable."""
    try:
        text = path.read_bytes()
    except OSError:
        return []
    roots = []
    with warnings.catch_warnings():
        # One root in use has a serial number of 0; a later release of the library will refuse it.
        warnings.filterwarnings("ignore", "Parsed a serial number", CryptographyDeprecationWarning)
        for block in _CERTIFICATE.findall(text):
            with contextlib.suppress(ValueError):
                roots.append(x509.load_pem_x509_certificate(block))
    return roots


def covers(certificate: x509.Certificate, hostname: str) -> bool:
    """True when a client that asks for `hostname` accepts the certificate's names (RFC 6125, 6.4)."""
    _, _, parent = hostname.lower().partition(".")
    return bool(names_of(certificate) & {hostname.lower(), f"*.{parent}"})


def subject_of(certificate: x509.Certificate) -> str:
    """The subject in RFC 4514 form, or the names where it is empty."""
    return certificate.subject.rfc4514_string() or ", ".join(sorted(names_of(certificate)))


def _key_begins(text: bytes) -> int | None:
    """Where the key's block begins. OpenSSL writes `EC PARAMETERS` before it, and some files hold certificates too."""
    places = [text.find(b"-----BEGIN " + kind) for kind in (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY",
                                                            b"ENCRYPTED PRIVATE KEY")]  # fmt: skip
    return min((place for place in places if place >= 0), default=None)


def _refuse_unusable(leaf: x509.Certificate, private: PrivateKeyTypes, now: datetime) -> None:
    subject = subject_of(leaf)
    if now >= leaf.not_valid_after_utc:
        raise BadInput("cert", "tls-expired", subject=subject, date=_day(leaf.not_valid_after_utc))
    if now < leaf.not_valid_before_utc:
        raise BadInput("cert", "tls-not-yet-valid", subject=subject, date=_day(leaf.not_valid_before_utc))
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < MIN_RSA:
        raise BadInput("key", "tls-key-too-short", bits=private.key_size, limit=MIN_RSA)
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        raise BadInput("cert", "tls-weak-signature", subject=subject, algorithm=leaf.signature_hash_algorithm.name)
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise BadInput("cert", "tls-not-for-servers", subject=subject)


def _in_order(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Leaf, its issuer, and so on; without a self-signed root, without what does not belong."""
    ordered = [leaf]
    left = [each for each in others if each != leaf and not _self_signed(each)]
    while issuer := next((each for each in left if issued_by(ordered[-1], each)), None):
        ordered.append(issuer)
        left.remove(issuer)
    return ordered


def _name_warnings(leaf: x509.Certificate, hostname: str) -> list[Notice]:
    if covers(leaf, hostname):
        return []
    names = ", ".join(sorted(names_of(leaf))) or "-"
    return [Notice(key="tls-name-not-covered", facts={"hostname": hostname, "names": names})]


def _time_warnings(ordered: Sequence[x509.Certificate], now: datetime) -> list[Notice]:
    return [
        Notice(key="tls-ends-soon", facts={"subject": subject_of(each), "date": _day(each.not_valid_after_utc)})
        for each in ordered
        if each.not_valid_after_utc - now < SOON
    ]


def _key_warnings(private: PrivateKeyTypes) -> list[Notice]:
    common = isinstance(private, rsa.RSAPrivateKey) or (
        isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in {"secp256r1", "secp384r1"}
    )
    return [] if common else [Notice(key="tls-uncommon-key", facts={"kind": type(private).__name__.strip("_")})]


def _trust_warnings(
    ordered: Sequence[x509.Certificate], others: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> list[Notice]:
    """Whether clients will trust it, and certificates that were brought but do not belong."""
    top = ordered[-1]
    noticed = []
    own_roots = [each for each in others if _self_signed(each) and each != top]
    strangers = [each for each in others if each not in ordered and not any(each == root for root in own_roots)]
    if strangers:
        subjects = "; ".join(subject_of(each) for each in strangers)
        noticed.append(Notice(key="tls-left-out", facts={"subjects": subjects}))
    if _self_signed(top):
        noticed.append(Notice(key="tls-self-signed", facts={"subject": subject_of(top)}))
    elif not _signed_by_one_of(top, roots):
        private = _signed_by_one_of(top, own_roots)
        key = "tls-private-authority" if private else "tls-chain-incomplete"
        noticed.append(Notice(key=key, facts={"issuer": top.issuer.rfc4514_string()}))
    return noticed


def _signed_by_one_of(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    return any(issued_by(certificate, each) for each in issuers if each.subject == certificate.issuer)


def _self_signed(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and issued_by(certificate, certificate)


def _key_text(private: PrivateKeyTypes) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split())
