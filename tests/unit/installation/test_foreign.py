"""Somebody's own mail system is told from what Debian's packages write."""

from __future__ import annotations

import hashlib

import pytest

from appliance.installation import foreign

MAIN = """\
# See /usr/share/postfix/main.cf.dist
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
compatibility_level = 3.6
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
myhostname = mail
mydestination = $myhostname, mail.example.com, vm, localhost.localdomain, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
inet_protocols = all
"""
MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
"""
CONF = "protocols = imap\n"
FILES = {
    "/etc/postfix/main.cf": MAIN,
    "/etc/postfix/master.cf": MASTER,
    "/usr/share/postfix/master.cf.dist": MASTER,
    "/etc/mailname": "mail.example.com\n",
    "/etc/hostname": "vm\n",
    "/etc/dovecot/dovecot.conf": CONF,
    "/var/lib/ucf/hashfile": f"{hashlib.md5(CONF.encode(), usedforsecurity=False).hexdigest()}  "
    "/etc/dovecot/dovecot.conf\n",
}


def found(files: dict[str, str]) -> list[str]:
    return [*foreign.postfix(files.get), *foreign.dovecot(files.get, [each for each in files if "/dovecot/" in each])]


def test_what_debians_packages_write_is_nobodys() -> None:
    assert found(FILES) == []
    assert found({}) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vm, localhost", "vm, example.org, localhost"),
        ("relayhost =", "relayhost = [smtp.example.net]:587"),
        ("[::1]/128", "[::1]/128 192.0.2.0/24"),
        ("inet_protocols = all", "inet_protocols = all\nvirtual_mailbox_domains = example.org"),
        ("inet_protocols = all", "inet_protocols = all\nhome_mailbox = Maildir/"),
        ("relayhost =", "relayhost =\n  [smtp.example.net]"),
    ],
)
def test_a_main_cf_for_mail_of_ones_own_is_recognised(old: str, new: str) -> None:
    assert found({**FILES, "/etc/postfix/main.cf": MAIN.replace(old, new)}) == ["/etc/postfix/main.cf"]


def test_a_changed_master_cf_is_recognised_and_its_spacing_is_not() -> None:
    assert found({**FILES, "/etc/postfix/master.cf": "# mine\n" + MASTER.replace("       -", " -")}) == []
    changed = MASTER + "submission inet n - y - - smtpd\n"
    assert found({**FILES, "/etc/postfix/master.cf": changed}) == ["/etc/postfix/master.cf"]
    # what an older release wrote is still beside it
    assert found({**FILES, "/etc/postfix/master.cf": changed, "/etc/postfix/master.cf.proto": changed}) == []


def test_changed_and_added_files_of_dovecot_are_recognised() -> None:
    changed = {**FILES, "/etc/dovecot/dovecot.conf": "protocols = imap pop3\n"}
    assert found(changed) == ["/etc/dovecot/dovecot.conf"]
    added = {**FILES, "/etc/dovecot/conf.d/99-ours.conf": "mail_location = mdbox:~/m\n"}
    assert found(added) == ["/etc/dovecot/conf.d/99-ours.conf"]


def test_the_file_that_init_writes_is_ours() -> None:
    pointer = foreign.OURS + ": x\nqueue_directory = /srv/posthouse/mail/postfix/spool\n"
    assert found({**FILES, "/etc/postfix/main.cf": pointer}) == []
