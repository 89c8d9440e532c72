"""Secrets that stand in the coordination store, sealed with a key that only control nodes have.

Fernet (https://github.com/fernet/spec): AES-128-CBC with HMAC-SHA256. The key file holds one key a line; the first
seals, all of them unseal, so a key can be changed without sealing everything anew at once.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from appliance import durable_files, paths
from appliance.errors import PosthouseError

KEY_FILE = paths.PKI / "sealing.key"


class SealingFailed(PosthouseError):
    """There is no key here, or it is not the one with which the secret was sealed."""


def ensure_key(file: Path | None = None) -> bool:
    """Make the key where there is none; return whether it was made. Readable by root alone."""
    where = file or KEY_FILE
    if where.exists():
        return False
    where.parent.mkdir(parents=True, exist_ok=True)
    durable_files.replace(where, Fernet.generate_key() + b"\n", 0o600)
    return True


def seal(secret: str, file: Path | None = None) -> str:
    """Seal a secret; raise SealingFailed on a node that has no key."""
    return _fernet(file or KEY_FILE).encrypt(secret.encode()).decode("ascii")


def unseal(sealed: str, file: Path | None = None) -> str:
    """What was sealed; raise SealingFailed."""
    where = file or KEY_FILE
    try:
        return _fernet(where).decrypt(sealed.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise SealingFailed("sealing-wrong-key", path=str(where)) from error


def _fernet(file: Path) -> MultiFernet:
    try:
        lines = file.read_text().split()
    except OSError as error:
        raise SealingFailed("sealing-no-key", path=str(file), detail=error.strerror or str(error)) from error
    try:
        return MultiFernet([Fernet(line) for line in lines])
    except ValueError as error:
        raise SealingFailed("sealing-no-key", path=str(file), detail=str(error)) from error
