"""Which foreign password hashes are kept, and under which label."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.migration.accounts.hashes import password_or_hash, understand

SHA512 = "$6$saltsalt$" + "a" * 86
ROUNDS = "$6$rounds=10000$saltsalt$" + "a" * 86
BLOWFISH = "$2y$10$" + "a" * 53
ARGON2ID = "$argon2id$v=19$m=65536,t=3,p=1$" + "a" * 22 + "$" + "b" * 43
SSHA512 = base64.b64encode(b"d" * 64 + b"salt").decode()
SCRAM = ",".join(["4096", *(base64.b64encode(part).decode() for part in (b"s" * 16, b"k" * 32, b"v" * 32))])


@pytest.mark.parametrize(
    ("written", "label"),
    [
        (SHA512, "SHA512-CRYPT"),
        (ROUNDS, "SHA512-CRYPT"),
        ("{CRYPT}" + SHA512, "SHA512-CRYPT"),
        ("{crypt}" + BLOWFISH, "BLF-CRYPT"),
        ("{SHA512-CRYPT}" + SHA512, "SHA512-CRYPT"),
        (BLOWFISH, "BLF-CRYPT"),
        (BLOWFISH.replace("2y", "2a"), "BLF-CRYPT"),
        ("{blf-crypt}" + BLOWFISH, "BLF-CRYPT"),
        (ARGON2ID, "ARGON2ID"),
        ("{ARGON2ID}" + ARGON2ID, "ARGON2ID"),
        ("{SSHA512}" + SSHA512, "SSHA512"),
        ("{ssha512}" + SSHA512, "SSHA512"),
        ("{SCRAM-SHA-256}" + SCRAM, "SCRAM-SHA-256"),
    ],
)
def test_an_accepted_hash_is_kept_under_dovecots_label(written: str, label: str) -> None:
    known = understand(written)
    assert known.password is not None
    body = written.partition("}")[2] if written.startswith("{") else written
    assert known.password.labelled == f"{{{label}}}{body}"
    assert not known.weak


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("$1$salt$aaaaaaaaaaaaaaaaaaaaaa", "$1$"),
        ("$5$salt$" + "a" * 43, "$5$"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "MD5"),
        ("{SSHA}" + base64.b64encode(b"d" * 20 + b"salt").decode(), "SSHA"),
        ("{SHA512}" + base64.b64encode(b"d" * 64).decode(), "SHA512"),
        ("{CRYPT}abJnggxhB/yWI", "CRYPT"),
        ("abJnggxhB/yWI", "?"),
        ("{SHA512-CRYPT}$6$salt$short", "SHA512-CRYPT"),
        ("{BLF-CRYPT}" + SHA512, "BLF-CRYPT"),
        ("{SSHA512}not base64!", "SSHA512"),
        ("{SCRAM-SHA-256}4096,abc", "SCRAM-SHA-256"),
    ],
)
def test_a_weak_or_broken_hash_is_named_but_not_kept(written: str, name: str) -> None:
    known = understand(written)
    assert known.password is None
    assert known.weak == name


@pytest.mark.parametrize("written", ["", "  ", "x", "*", "!", "!!", "*LK*"])
def test_a_placeholder_is_no_password(written: str) -> None:
    known = understand(written)
    assert known.password is None
    assert not known.weak
    assert not known.locked


def test_a_hash_spoiled_by_an_exclamation_mark_is_kept_and_the_account_locked() -> None:
    known = understand("!" + SHA512)
    assert known.password is not None
    assert known.password.labelled == "{SHA512-CRYPT}" + SHA512
    assert known.locked


@pytest.mark.parametrize("scheme", ["{PLAIN}", "{CLEARTEXT}", "{cleartext}"])
def test_a_password_labelled_as_clear_is_clear(scheme: str) -> None:
    known = understand(scheme + "correct horse")
    assert known.password is not None
    assert known.password.clear == "correct horse"


@pytest.mark.parametrize("written", ["correct horse", "x", "$money$", "{smile", "口令 正确"])
def test_what_has_not_the_form_of_a_hash_is_a_clear_password(written: str) -> None:
    known = password_or_hash(written)
    assert known.password is not None
    assert known.password.clear == written


def test_a_weak_hash_in_a_column_of_passwords_never_becomes_the_password() -> None:
    assert password_or_hash("{MD5}X03MO1qnZdYdgyfeuILPmQ==").password is None
    assert password_or_hash("$1$saltsalt$aaaaaaaaaaaaaaaaaaaaaa").password is None


@given(st.text())
def test_any_text_is_classified_without_error_and_never_shown(text: str) -> None:
    known = password_or_hash(text)
    assert (known.password is None) or (known.password.clear is None) != (known.password.labelled is None)
    if known.password is not None:
        assert repr(known.password) == "Password()"
