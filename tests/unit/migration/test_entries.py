"""Accounts from LDIF, as different mail systems export them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.migration.accounts import entries
from appliance.migration.accounts.record import Account, BadRow

SHA512 = "$6$saltsalt$" + "a" * 86


def account(ldif: str, domain: str | None = None) -> Account:
    (row,) = entries.read(ldif.encode(), domain)
    assert isinstance(row, Account), row
    return row


def test_a_qmail_user_with_aliases_quota_and_status() -> None:
    name = base64.b64encode("王小明".encode()).decode()
    row = account(
        "version: 1\n\n# a comment\ndn: uid=wang,dc=example,dc=com\nobjectClass: inetOrgPerson\n"
        "objectClass: qmailUser\n"
        f"uid: wang\ncn:: {name}\nmail: Wang@Example.com\nmailAlternateAddress: xm@example.com\n"
        f"mailAlternateAddress: wang@example.com\nmailForwardingAddress: boss@example.net\n"
        f"userPassword: {{CRYPT}}{SHA512}\nmailQuota: 1000000S,500C\naccountStatus: noaccess\n"
    )
    assert (row.line, row.address, row.name) == (4, "Wang@Example.com", "王小明")
    assert row.aliases == ("xm@example.com",)
    assert row.forwards == ("boss@example.net",)
    assert not row.forward_only
    assert row.quota == 10**6
    assert not row.enabled
    assert row.password is not None
    assert row.password.labelled == "{SHA512-CRYPT}" + SHA512


def test_folded_lines_and_encoded_passwords_are_joined_and_decoded() -> None:
    secret = base64.b64encode(("{SSHA512}" + base64.b64encode(b"d" * 64 + b"salt").decode()).encode()).decode()
    row = account(
        f"dn: cn=a\nobjectClass: mailRecipient\nmail: a@exam\n ple.com\nuserPassword:: {secret[:40]}\n {secret[40:]}\n"
    )
    assert row.address == "a@example.com"
    assert row.password is not None
    assert (row.password.labelled or "").startswith("{SSHA512}")


def test_a_posix_account_gets_its_domain_from_the_command_line() -> None:
    ldif = "dn: uid=ann\nobjectClass: posixAccount\nuid: ann\ngecos: Ann\nuserPassword: {CRYPT}!\n"
    row = account(ldif, "example.com")
    assert (row.address, row.name) == ("ann@example.com", "Ann")
    (bad,) = entries.read(ldif.encode())
    assert isinstance(bad, BadRow)
    assert bad.problem.key == "migrate-no-domain"


def test_an_unlabelled_password_is_clear_text() -> None:
    row = account("dn: cn=a\nobjectClass: inetOrgPerson\nmail: a@example.com\nuserPassword: correct horse\n")
    assert row.password is not None
    assert row.password.clear == "correct horse"


def test_active_directorys_addresses_and_disabled_flag() -> None:
    row = account(
        "dn: CN=Ann\nobjectClass: user\nsAMAccountName: ann\nuserPrincipalName: ann@corp.example\n"
        "proxyAddresses: SMTP:ann@example.com\nproxyAddresses: smtp:a.smith@example.com\nproxyAddresses: X400:c=US\n"
        "userAccountControl: 514\nmDBOverQuotaLimit: 1024\nobjectGUID:: AAECAw==\n"
    )
    assert row.address == "ann@example.com"
    assert row.aliases == ("a.smith@example.com",)
    assert not row.enabled
    assert row.quota == 2**20


@pytest.mark.parametrize(
    "ldif",
    [
        "dn: cn=sales\nobjectClass: nisMailAlias\ncn: sales\nrfc822MailMember: ann\n"
        "rfc822MailMember: bob@example.net\n",
        "dn: mail=s\nobjectClass: mailAlias\nmail: sales@example.com\nmaildrop: ann@example.com, bob@example.net\n",
        "dn: cn=s\nobjectClass: qmailUser\nmail: sales@example.com\ndeliveryMode: nolocal\n"
        "mailForwardingAddress: ann@example.com\nmailForwardingAddress: bob@example.net\n",
    ],
)
def test_an_entry_that_holds_no_mail_becomes_an_alias(ldif: str) -> None:
    row = account(ldif, "example.com")
    assert row.forward_only
    assert row.address == "sales@example.com"
    assert row.forwards == ("ann@example.com", "bob@example.net")


def test_one_broken_record_costs_one_record() -> None:
    found = list(
        entries.read(
            b"dn: ou=people\nobjectClass: organizationalUnit\nou: people\n\n"
            b"dn: cn=a\nobjectClass: inetOrgPerson\nmail: a@example.com\n\n"
            b"no colon here\n\n"
            b"dn: cn=b\nobjectClass: inetOrgPerson\nmail:: /w==\n\n"
            b"dn: cn=c\nchangetype: delete\n\n"
            b"dn: cn=d\nobjectClass: inetOrgPerson\nmail: d@example.com\nmailQuota: much\n\n\n"
            b"dn: cn=e\r\nobjectClass: inetOrgPerson\r\nmail: e@example.com\r\n"
        )
    )
    assert [(row.line, type(row).__name__) for row in found] == [
        (5, "Account"),
        (9, "BadRow"),
        (11, "BadRow"),
        (15, "BadRow"),
        (18, "BadRow"),
        (24, "Account"),
    ]
    assert all(str(row.problem) for row in found if isinstance(row, BadRow))


def test_a_value_that_names_a_file_is_not_read() -> None:
    row = account("dn: cn=a\nobjectClass: inetOrgPerson\nmail: a@example.com\ncn:< file:///etc/passwd\n")
    assert row.name == ""


def test_a_file_in_gb18030_is_read() -> None:
    (row,) = entries.read("dn: cn=a\nobjectClass: inetOrgPerson\nmail: a@example.com\ncn: 王\n".encode("gb18030"))
    assert isinstance(row, Account)
    assert row.name == "王"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for row in entries.read(b"dn: cn=a\nmail: a@example.com\n" + data, "example.com"):
            assert row.line >= 1
    except BadInput:
        pass
