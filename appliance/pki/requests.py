"""Keys that a server makes for itself, and its requests for certificates (PKCS #10, RFC 2986).

The private key never leaves the server. What the request says about names is not looked at: who signs decides.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance import durable_files
from appliance.errors import BadInput
from appliance.pki.authority import key_pem


def kept_key(file: Path) -> bytes:
    """The private key (PEM) in `file`, made when it is missing: a repeated request is for the same key."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = new_key()
        durable_files.replace(file, made, 0o600)
        return made


def new_key() -> bytes:
    """A fresh private key (PEM)."""
    return key_pem(ec.generate_private_key(ec.SECP256R1()))


def request(key: bytes) -> str:
    """A request (PEM) for a certificate for this private key (PEM)."""
    private = serialization.load_pem_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    made = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(private, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def public_key(text: str) -> ec.EllipticCurvePublicKey:
    """The key of a request, proved to be the requester's; raises BadInput for anything but EC P-256."""
    try:
        asked = x509.load_pem_x509_csr(text.encode("ascii"))
        key = asked.public_key()
        proved = asked.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("requests", "join-bad-request", detail=str(error)) from error
    if not proved or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput("requests", "join-bad-request", detail="EC P-256")
    return key


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo), hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
