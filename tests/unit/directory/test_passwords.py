"""Passwords: what is accepted, that every scheme verifies, which foreign hashes are taken."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.directory.addresses import mailbox_address
from appliance.directory.passwords import (
    SCHEMES,
    PasswordPolicy,
    accepted,
    generated,
    hashed,
    imported,
    verifies,
)
from appliance.errors import BadInput
from appliance.settings.registry import defaults

POLICY = PasswordPolicy()
CHEAP = PasswordPolicy(memory=8, time=1)
ALICE = mailbox_address("alice.liddell@wonderland.example")

#: Made by Dovecot 2.3.19's `doveadm pw -s SCHEME -p 'korrekt pferd'`.
FOREIGN = {
    "BLF-CRYPT": "{BLF-CRYPT}$2y$05$M2.5XVqjSbYNTxv2rMObiefMObXuLLDIjNmxmDX3zfbDvXLLM/5jK",
}


def ssha512(password: bytes, salt: bytes = b"saltsalt") -> str:
    return "{SSHA512}" + base64.b64encode(hashlib.sha512(password + salt).digest() + salt).decode()


@pytest.mark.parametrize("scheme", ["ARGON2ID", "SCRAM-SHA-256", "BLF-CRYPT", "SHA512-CRYPT"])
def test_each_scheme_verifies_the_password_and_no_other(scheme: str) -> None:
    stored = hashed("pässwörd 张", PasswordPolicy(scheme=scheme))
    assert stored.startswith(f"{{{scheme}}}")
    assert verifies(stored, "pässwörd 张")
    assert verifies(stored, "pa\u0308sswo\u0308rd 张"), "the same text in another normal form"
    assert not verifies(stored, "pässwörd")
    assert imported(stored) == stored
    assert hashed("pässwörd 张", PasswordPolicy(scheme=scheme)) != stored, "a salt of its own"


def test_the_default_costs_what_owasp_asks_for() -> None:
    policy = PasswordPolicy.of(defaults())
    assert hashed("x", policy).startswith("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("password", "key"),
    [
        ("short7!", "password-too-short"),
        ("", "password-too-short"),
        ("password", "password-too-weak"),
        ("12345678", "password-too-weak"),
        ("qwertyuiop", "password-too-weak"),
        ("aaaaaaaaaaaaaaaa", "password-too-weak"),
        ("posthouse1", "password-too-weak"),
        ("alice.liddell", "password-is-address"),
        ("Alice.Liddell@WONDERLAND.example", "password-is-address"),
        ("wonderland1", "password-too-weak"),
        ("korrekt\0pferd", "password-control-character"),
        ("korrekt\npferd", "password-control-character"),
        ("x" * 257, "password-too-long"),
        ("张" * 100, "password-too-long"),
        ("x" * 65536, "password-too-long"),
    ],
)
def test_a_bad_password_is_refused_without_being_shown(password: str, key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        accepted(password, POLICY, ALICE)
    assert refusal.value.key == key
    assert refusal.value.field == "password"
    assert password not in {str(value) for value in refusal.value.facts.values()} - {"password"}


@pytest.mark.parametrize(
    "password",
    ["korrekt pferd batterie", "tr0ub4dor&3x", "雨后春笋般的邮局驿站", pytest.param(generated(), id="generated")],
)
def test_a_good_password_is_accepted(password: str) -> None:
    assert accepted(password, POLICY, ALICE) == password


def test_bcrypt_refuses_what_it_would_cut_off() -> None:
    long = "several unrelated words make it seventy-three bytes long, which is a lot.."
    assert len(long) > 72
    assert accepted(long, POLICY)
    with pytest.raises(BadInput) as refusal:
        accepted(long, PasswordPolicy(scheme="BLF-CRYPT"))
    assert refusal.value.facts["maximum"] == 72


def test_a_domain_may_ask_for_longer_passwords() -> None:
    with pytest.raises(BadInput) as refusal:
        accepted("korrekt pferd", POLICY.with_minimum_length(20))
    assert (refusal.value.facts["minimum"], refusal.value.facts["length"]) == (20, 13)


@settings(max_examples=20)
@given(st.text(alphabet=st.characters(codec="utf-8", min_codepoint=32), max_size=80))
def test_any_text_is_accepted_or_refused_and_what_is_accepted_verifies(text: str) -> None:
    try:
        plain = accepted(text, CHEAP)
    except BadInput:
        return
    assert verifies(hashed(plain, CHEAP), text)


def test_generated_passwords_are_strong_and_differ() -> None:
    made = {generated() for _ in range(50)}
    assert len(made) == 50
    for each in made:
        accepted(each, POLICY, ALICE)


@pytest.mark.parametrize(
    ("given_hash", "stored"),
    [
        ("$2y$05$M2.5XVqjSbYNTxv2rMObiefMObXuLLDIjNmxmDX3zfbDvXLLM/5jK", FOREIGN["BLF-CRYPT"]),
        ("{crypt}$2y$05$M2.5XVqjSbYNTxv2rMObiefMObXuLLDIjNmxmDX3zfbDvXLLM/5jK", FOREIGN["BLF-CRYPT"]),
        (f" {FOREIGN['BLF-CRYPT']}\n", FOREIGN["BLF-CRYPT"]),
        (ssha512(b"x").replace("SSHA512", "ssha512"), ssha512(b"x")),
        (ssha512(b"x").replace("{SSHA512}", "{SSHA512.b64}"), ssha512(b"x")),
    ],
)
def test_a_foreign_hash_gets_the_label_that_dovecot_knows(given_hash: str, stored: str) -> None:
    assert imported(given_hash) == stored


def test_a_salted_sha512_of_an_ldap_server_verifies() -> None:
    stored = imported(ssha512(b"korrekt pferd"))
    assert verifies(stored, "korrekt pferd")
    assert not verifies(stored, "korrekt")


@pytest.mark.parametrize(
    ("given_hash", "key"),
    [
        ("", "password-hash-unknown"),
        ("secret", "password-hash-unknown"),
        ("{PLAIN}secret", "password-hash-unknown"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "password-hash-unknown"),
        ("{CRYPT}ab01FAX.bQRSU", "password-hash-unknown"),
        ("$1$abc$Yd8vUjKMbCYkXpBp0d9Z60", "password-hash-unknown"),
        ("{ARGON2ID}", "password-hash-malformed"),
        ("{ARGON2ID}$argon2i$v=19$m=19456,t=2,p=1$MTIzNDU2Nzg$MTIzNDU2NzgxMjM0NTY3ODEyMzQ", "password-hash-malformed"),
        ("{BLF-CRYPT}$2y$05$short", "password-hash-malformed"),
        ("{SHA512-CRYPT}$6$salt$" + "x" * 85, "password-hash-malformed"),
        ("{SSHA512}" + base64.b64encode(b"x" * 67).decode() + "!", "password-hash-malformed"),
        ("{SCRAM-SHA-256}4096,c2FsdA==,x,y", "password-hash-malformed"),
        ("{BLF-CRYPT}$2y$19$" + "x" * 53, "password-hash-too-dear"),
        ("{SHA512-CRYPT}$6$rounds=9000000$salt$" + "x" * 86, "password-hash-too-dear"),
        (
            "{ARGON2ID}$argon2id$v=19$m=9999999,t=2,p=1$MTIzNDU2Nzgx$MTIzNDU2NzgxMjM0NTY3ODEyMzQ",
            "password-hash-too-dear",
        ),
        ("{SSHA512}" + "x" * 65536, "password-hash-malformed"),
        ("{BLF-CRYPT}$2y$05$" + "x" * 53 + "\nuserPassword: {PLAIN}x", "password-hash-unknown"),
    ],
)
def test_a_hash_of_another_form_is_refused_without_being_shown(given_hash: str, key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        imported(given_hash)
    assert refusal.value.key == key
    assert len(str(refusal.value)) < 300
    assert not given_hash or given_hash not in str(refusal.value)


@given(st.text(max_size=200))
def test_any_text_is_a_hash_or_a_refusal(text: str) -> None:
    try:
        stored = imported(text)
    except BadInput:
        return
    assert stored.startswith(tuple(f"{{{scheme}}}" for scheme in SCHEMES))


def test_what_is_no_hash_verifies_nothing() -> None:
    assert not verifies("", "")
    assert not verifies("{SSHA512}!", "x")
    assert not verifies("{BLF-CRYPT}*", "*")
    assert not verifies("{PLAIN}x", "x")
    assert not verifies("{CRYPT}ab01FAX.bQRSU", "foob")
