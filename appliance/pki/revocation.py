"""Certificates of servers that were removed: the list that every node keeps, and who is on it (RFC 5280, section 5).

A certificate is good until it ends, whatever became of its server, and the server's name may be another one's by then.
The list is signed by the authority, stands in the store as one record, and lies in a file on every node, where etcd
and slapd read it; whoever of us is asked looks the serial number up in the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance import durable_files, paths
from appliance.cluster.decided import Revoked, RevokedCertificate, serial_text
from appliance.cluster.names import NodeName
from appliance.pki.authority import BACKDATE, Authority


def file(folder: Path | None = None) -> Path:
    """Where a node keeps the list."""
    return (folder or paths.PKI) / paths.REVOKED.name


def entry(node: NodeName, certificate: x509.Certificate) -> RevokedCertificate:
    """What is noted of a certificate."""
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    ends = certificate.not_valid_after_utc
    return RevokedCertificate(node=node, serial=serial_text(certificate.serial_number), fingerprint=digest, ends=ends)


def listed(
    authority: Authority, before: Revoked | None, more: Iterable[RevokedCertificate], now: datetime | None = None
) -> Revoked:
    """The list with some more on it, signed anew. What has ended by itself is left out.

    Its number (RFC 5280, 5.2.3) is never lower than one that the installation has seen, also when the store was lost
    and went on with older data: it follows the clock.
    """
    moment = now or datetime.now(UTC)
    known = {each.serial: each for each in (*(before.certificates if before else ()), *more) if each.ends > moment}
    number = max((before.number if before else 0) + 1, int(moment.timestamp()))
    certificates = tuple(known[each] for each in sorted(known))
    return Revoked(number=number, certificates=certificates, crl=_signed(authority, number, certificates, moment))


def _signed(authority: Authority, number: int, certificates: Sequence[RevokedCertificate], now: datetime) -> str:
    """It never falls due: with an overdue list OpenSSL and GnuTLS let nobody in."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - BACKDATE)
        .next_update(authority.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for each in certificates:
        gone = x509.RevokedCertificateBuilder().serial_number(int(each.serial, 16)).revocation_date(now - BACKDATE)
        builder = builder.add_revoked_certificate(gone.build())
    return authority.sign_list(builder)


def keep(wanted: Revoked, folder: Path | None = None) -> bool:
    """Write the list down where it is newer than what lies there; return whether it was.

    Raises ValueError for one that is not our authority's: with a file that they cannot read, etcd and slapd would let
    nobody in.
    """
    where = file(folder)
    issuer = x509.load_pem_x509_certificate((where.parent / "ca.crt").read_bytes())
    found = x509.load_pem_x509_crl(wanted.crl.encode("ascii"))
    if found.issuer != issuer.subject or not found.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
        raise ValueError("the list of revoked certificates is not our authority's")
    try:
        kept = x509.load_pem_x509_crl(where.read_bytes())
    except (FileNotFoundError, ValueError):
        kept = None
    if kept is not None and _number(kept) >= _number(found):
        return False
    table = "".join(f"{each.fingerprint} REJECT\n" for each in wanted.certificates)
    durable_files.replace(where.with_name(paths.REVOKED_TABLE.name), table.encode("ascii"), 0o644)
    durable_files.replace(where, wanted.crl.encode("ascii"), 0o644)  # last: it says that both are there
    return True


def _number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
