"""The account that health probes log in with: not in the directory, from this node only.

Its password is random, made once per node and readable by root alone. Dovecot gets
an unsalted hash, because 256 random bits need neither salt nor slowness, and the
rendered file must not change from one rendering to the next.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance import durable_files, paths

USER: Final = "posthouse-probe"
SECRET: Final = paths.SECRETS / "probe"


def probe_password(secret: Path = SECRET) -> str:
    """The node's probe password; made on first use."""
    try:
        return secret.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        secret.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_hex(32)
    try:
        durable_files.write_new(secret, f"{password}\n".encode("ascii"), 0o600)
    except FileExistsError:
        return secret.read_text(encoding="ascii").strip()
    return password


def passwd_line(password: str, home: Path, networks: Iterable[str]) -> str:
    """The account as a line of Dovecot's passwd-file (password and where it may come from; userdb by prefetch)."""
    digest = hashlib.sha256(password.encode("ascii")).hexdigest()
    fields = (f"allow_nets={','.join(networks)}", f"userdb_home={home}", "userdb_quota_rule=*:bytes=0")
    return f"{USER}:{{SHA256.HEX}}{digest}::::::{' '.join(fields)}\n"
