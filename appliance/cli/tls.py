"""`posthouse tls`: the certificates of this node; installing the operator's own for mail.

Only files are written here. The node agent sees that they changed and lets the mail
services take them, without ending a connection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance import node_file, paths
from appliance.cli.output import Column, details, emit, json_option
from appliance.cli.status import in_words
from appliance.cluster.report import Notice
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.i18n import lazy, translate
from appliance.pki import operator, upkeep
from appliance.pki.authority import issued_by, names_of
from appliance.pki.pairs import PairSlot

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Row:
    """A certificate as it is shown. `source`: the installation's `authority`, or the `operator`."""

    name: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    days_left: int
    fingerprint_sha256: str
    source: str


@dataclass(frozen=True)
class Warned:
    """A warning for programs and people."""

    key: str
    text: str


@dataclass(frozen=True)
class Installed:
    """What a change put in force."""

    certificate: Row
    warnings: tuple[Warned, ...]


@click.group(help=lazy("tls-help"))
def tls() -> None:
    pass


@tls.command(help=lazy("tls-show-help"))
@json_option
def show(as_json: bool) -> None:
    rows = list(_rows())
    if not rows:
        raise NotFound("tls-nothing", path=str(paths.PKI))
    columns = [
        Column("tls-column-name", lambda row: row.name),
        Column("tls-column-names", lambda row: row.names or row.subject),
        Column("tls-column-source", lambda row: translate(f"tls-source-{row.source}")),
        Column("tls-column-ends", lambda row: row.not_after.date().isoformat()),
        Column("tls-column-days", lambda row: row.days_left, right=True),
    ]
    emit(rows, as_json, columns)


@tls.command(help=lazy("tls-install-help"))
@click.argument("cert", type=_FILE)
@click.argument("key", type=_FILE)
@click.option("--chain", type=_FILE, help=lazy("tls-chain-help"))
@json_option
def install(cert: Path, key: Path, chain: Path | None, as_json: bool) -> None:
    node = node_file.read()
    judged = operator.judge(
        _read("cert", cert),
        _read("key", key),
        _read("chain", chain) if chain else b"",
        node.hostname,
        datetime.now(UTC),
        operator.system_roots(),
    )
    _write_allowed()
    upkeep.mail_slot().write(judged.pair)
    _tell(judged.warnings, as_json)


@tls.command(help=lazy("tls-issue-help"))
@json_option
def issue(as_json: bool) -> None:
    _write_allowed()
    upkeep.issue_mail(node_file.read())
    _tell((), as_json)


@tls.command(help=lazy("tls-rollback-help"))
@json_option
def rollback(as_json: bool) -> None:
    _write_allowed()
    upkeep.mail_slot().roll_back()
    _tell((), as_json)


def _rows() -> Iterable[Row]:
    authority = _authority()
    if authority is not None:
        yield _row("ca", authority, authority)
    for slot in upkeep.slots():
        if (leaf := _leaf(slot)) is not None:
            yield _row(slot.name, leaf, authority)


def _authority() -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(upkeep.authority_paths(paths.PKI)[0].read_bytes())
    except FileNotFoundError:
        return None


def _leaf(slot: PairSlot) -> x509.Certificate | None:
    """The certificate alone: showing needs no right to read keys."""
    try:
        return x509.load_pem_x509_certificate(slot.certificate_path.read_bytes())
    except FileNotFoundError:
        return None


def _row(name: str, certificate: x509.Certificate, authority: x509.Certificate | None) -> Row:
    ours = authority is not None and issued_by(certificate, authority)
    return Row(
        name=name,
        subject=operator.subject_of(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(sorted(names_of(certificate))),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=(certificate.not_valid_after_utc - datetime.now(UTC)).days,
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        source="authority" if ours else "operator",
    )


def _tell(warnings: Sequence[Notice], as_json: bool) -> None:
    """Say what is in force for mail now."""
    leaf = _leaf(upkeep.mail_slot())
    assert leaf is not None
    warned = tuple(Warned(warning.key, in_words(warning)) for warning in warnings)
    row = _row("mail", leaf, _authority())

    def lines() -> Iterable[str]:
        yield translate("tls-in-force")
        yield from details(
            [
                (translate("tls-column-names"), row.names or row.subject),
                (translate("tls-column-source"), translate(f"tls-source-{row.source}")),
                (translate("tls-column-ends"), row.not_after.date().isoformat()),
                ("SHA-256", row.fingerprint_sha256),
            ],
            indent=2,
        )
        yield from (f"! {warning.text}" for warning in warned)

    emit(Installed(row, warned), as_json, lines)


def _read(field: str, path: Path) -> bytes:
    """The file's bytes, no more than a little over what is allowed."""
    try:
        with path.open("rb") as file:
            return file.read(operator.MAX_FILE + 1)
    except OSError as error:
        raise BadInput(field, "tls-unreadable", path=str(path), detail=error.strerror or str(error)) from error


def _write_allowed() -> None:
    """Fail before anything is half done where this user may not write keys."""
    if not os.access(paths.PKI, os.W_OK):
        raise PosthouseError("tls-cannot-write", path=str(paths.PKI))
