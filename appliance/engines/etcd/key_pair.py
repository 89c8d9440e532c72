"""Whether etcd could use a key pair: the pair matches, our authority issued it, it carries the store's name.

Run as a program by the engine's check: the library that reads certificates takes
9 MB, which the agent would otherwise hold for ever for a look it takes once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.node_file import STORE_NAME
from appliance.pki.authority import issued_by, names_of
from appliance.pki.pairs import PairSlot


def problem(certificate_file: Path, key_file: Path, authority_file: Path) -> str | None:
    """Why etcd could not use this key pair, or None. The files may be links: what counts is their target."""
    pair = PairSlot(certificate_file.parent, certificate_file.stem).read()
    if pair is None or not authority_file.exists():
        return f"{certificate_file}: no such key pair, or no {authority_file}"
    leaf = pair.leaf()
    key = serialization.load_pem_private_key(pair.key, password=None)
    if key.public_key() != leaf.public_key():
        return f"{key_file} does not belong to {certificate_file}"
    if not issued_by(leaf, x509.load_pem_x509_certificate(authority_file.read_bytes())):
        return f"{certificate_file} was not issued by {authority_file}"
    if STORE_NAME not in names_of(leaf):
        return f"{certificate_file} does not carry the name {STORE_NAME}"
    return None


if __name__ == "__main__":
    found = problem(*(Path(argument) for argument in sys.argv[1:4]))
    if found is not None:
        sys.exit(found)
