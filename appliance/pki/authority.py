"""The certificate authority of the installation (RFC 5280), on EC P-256.

It serves the inside (nodes, store) and gives mail clients something to start with,
until the operator installs a certificate of their own. Leaf certificates carry key
identifiers and critical key usage, so that OpenSSL's X509_STRICT accepts them too.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Longest common name (RFC 5280, ub-common-name).
MAX_COMMON_NAME = 64
#: Certificates start this much in the past, for peers whose clock is behind.
BACKDATE = timedelta(minutes=10)
AUTHORITY_LIFE = timedelta(days=3650)

Address = IPv4Address | IPv6Address


class Profile(Enum):
    """What a certificate is for: its life and its extended key usages.

    A mail certificate cannot be used as a client's: its key is in the hands of programs
    that face the Internet, and must not open the store. 397 days is what browsers and
    Apple's mail programs accept at most. Between groups the two sides have a certificate each: what the group that is
    asked shows to mail programs of other groups too (INSIDE), and what Postfix shows that hands mail on (RELAY).
    """

    NODE = (timedelta(days=730), (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH))
    MAIL = (timedelta(days=397), (ExtendedKeyUsageOID.SERVER_AUTH,))
    INSIDE = (timedelta(days=730), (ExtendedKeyUsageOID.SERVER_AUTH,))
    RELAY = (timedelta(days=730), (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def __init__(self, life: timedelta, usages: tuple[x509.ObjectIdentifier, ...]) -> None:
        self.life = life
        self.usages = usages


@dataclass(frozen=True)
class Pair:
    """A certificate, PEM with its chain below it, and its private key, PEM (PKCS #8)."""

    certificate: bytes
    key: bytes

    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return x509.load_pem_x509_certificate(self.certificate)


class Authority:
    """A certificate with the key to sign others."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, installation: str, now: datetime | None = None) -> Authority:
        """Make a new one. `installation` names it to people; the random part tells it from any other."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject(f"CA {secrets.token_hex(4)} {installation}"[:MAX_COMMON_NAME])
        builder = _builder(name, name, key.public_key(), now or datetime.now(UTC), AUTHORITY_LIFE)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, pair: Pair) -> Authority:
        """Read it back; raises ValueError when the key is not one of ours."""
        key = serialization.load_pem_private_key(pair.key, password=None)
        certificate = pair.leaf()
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the authority's key does not belong to its certificate")
        return cls(certificate, key)

    def pair(self) -> Pair:
        """Certificate and key for the disk."""
        return Pair(pem(self.certificate), key_pem(self._key))

    def issue(
        self,
        profile: Profile,
        common_name: str,
        names: Sequence[str],
        addresses: Sequence[Address] = (),
        now: datetime | None = None,
    ) -> Pair:
        """Issue a certificate with a fresh key. `names` are host names in A-label form."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certify(key.public_key(), profile, common_name, names, addresses, now=now)
        return Pair(certificate, key_pem(key))

    def certify(
        self,
        key: ec.EllipticCurvePublicKey,
        profile: Profile,
        common_name: str,
        names: Sequence[str],
        addresses: Sequence[Address] = (),
        *,
        now: datetime | None = None,
    ) -> bytes:
        """Issue a certificate (PEM) for somebody else's key. It never outlives the authority."""
        start = now or datetime.now(UTC)
        life = min(profile.life, self.certificate.not_valid_after_utc - start)
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(address) for address in addresses]
        certificate = (
            _builder(_subject(common_name[:MAX_COMMON_NAME]), self.certificate.subject, key, start, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(self._key_identifier(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return pem(certificate)

    def sign_list(self, builder: x509.CertificateRevocationListBuilder) -> str:
        """Sign a list of revoked certificates (PEM)."""
        made = builder.add_extension(self._key_identifier(), critical=False).sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def issued(self, certificate: x509.Certificate) -> bool:
        """True when this authority signed it."""
        return issued_by(certificate, self.certificate)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """True when `issuer`'s name and key signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The host names and addresses that a certificate is for, as text."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName)) | frozenset(addresses)


def renewal_due(certificate: x509.Certificate, now: datetime) -> bool:
    """True in the last third of a certificate's life."""
    end = certificate.not_valid_after_utc
    return end - now < (end - certificate.not_valid_before_utc) / 3


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life - BACKDATE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key for the disk (PKCS #8)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
