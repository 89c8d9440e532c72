"""Coming from elsewhere, on a real node: accounts from tables and from other directories."""

from __future__ import annotations

import csv
import imaplib
import io
import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.foreign_mail import posthouse, refused, write
from tests.integration.mail_clients import Account, MailNode, mail_node
from tests.lab import Node


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "accounts.test") as made:
        yield made


SHA512 = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
SHA512_PASSWORD = "password"


def test_accounts_come_from_a_chinese_table_and_a_second_run_changes_nothing(mail: MailNode) -> None:
    table = (
        "邮箱;姓名;密码;密码哈希;容量(MB);别名;状态\r\n"
        f"li@{mail.domain};李 雷;;{SHA512};500;ll@{mail.domain};启用\r\n"
        f"han@{mail.domain};韩梅梅;correct-horse-battery-9;;;;\r\n"
        f"weak@{mail.domain};;;{{MD5}}X03MO1qnZdYdgyfeuILPmQ==;;;\r\n"
        f"off@{mail.domain};;correct-horse-battery-9;;;;停用\r\n"
        f"x@unknown.test;;correct-horse-battery-9;;;;\r\n"
        f"root@{mail.domain};;correct-horse-battery-9;;;;\r\n"
        f"big@{mail.domain};;correct-horse-battery-9;;lots;;\r\n"
    )
    file = write(mail.node, "/root/migrate/accounts.csv", table.encode("gb18030"))
    status, said = refused(mail.node, "accounts", file, "--dry-run")
    assert status == 1
    assert "5 created" in said
    assert mail.node.run("posthouse", "mailbox", "show", f"li@{mail.domain}", check=False).returncode == 3
    status, said = refused(mail.node, "accounts", file, "--report", "/root/migrate/report.csv")
    assert status == 1
    assert "5 created, 0 existed, 0 skipped, 3 refused" in said
    assert "line 6, x@unknown.test" in said
    assert "line 8" in said
    report = mail.node.root / "root/migrate/report.csv"
    assert report.stat().st_mode & 0o777 == 0o600
    rows = {row["address"]: row for row in csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig")))}
    assert rows[f"root@{mail.domain}"]["result"] == "refused"
    generated = rows[f"weak@{mail.domain}"]["password"]
    assert generated
    for local, password in (("li", SHA512_PASSWORD), ("han", "correct-horse-battery-9"), ("weak", generated)):
        with mail.imap(Account(f"{local}@{mail.domain}", password)):
            pass
    with mail.imap() as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(f"off@{mail.domain}", "correct-horse-battery-9")
    shown = json.loads(mail.node.run("posthouse", "mailbox", "show", f"li@{mail.domain}", "--json").stdout)
    assert (shown["name"], shown["quota"]) == ("李 雷", 500 * 2**20)
    with smtplib.SMTP(mail.node.address, 25, timeout=20) as client:
        client.sendmail("a@example.net", [f"ll@{mail.domain}"], b"Subject: x\r\n\r\nto the alias\r\n")
    mail.arrived(Account(f"li@{mail.domain}", SHA512_PASSWORD), "to the alias")
    status, said = refused(mail.node, "accounts", file, "--report", "/root/migrate/report.csv")
    assert "0 created, 5 existed, 0 skipped, 3 refused" in said
    assert report.read_text(encoding="utf-8-sig").count(generated) == 1


def test_accounts_come_from_ldif(mail: MailNode) -> None:
    ldif = (
        "dn: ou=people\nobjectClass: organizationalUnit\nou: people\n\n"
        "dn: uid=wei\nobjectClass: inetOrgPerson\nobjectClass: qmailUser\nuid: wei\ncn:: 6Z+m\n"
        f"mail: wei@{mail.domain}\nmailAlternateAddress: wei.long@{mail.domain}\nuserPassword: {{CRYPT}}{SHA512}\n"
        f"mailQuota: 1000000S\n\ndn: cn=team\nobjectClass: nisMailAlias\ncn: team\nrfc822MailMember: wei\n"
    )
    file = write(mail.node, "/root/migrate/people.ldif", ldif.encode())
    report = posthouse(mail.node, "accounts", file, "--domain", mail.domain)
    assert (report["created"], report["refused"]) == (3, 0)
    with mail.imap(Account(f"wei@{mail.domain}", SHA512_PASSWORD)):
        pass
    alias = json.loads(mail.node.run("posthouse", "alias", "show", f"team@{mail.domain}", "--json").stdout)
    assert list(alias["targets"]) == [f"wei@{mail.domain}"]
