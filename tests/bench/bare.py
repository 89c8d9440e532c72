"""The bare side: the engines of the same root filesystem under the least configuration that does the job.

Postfix as Debian sets it up, with a table of mailboxes and LMTP; Dovecot with Maildir
and one static user database, or with LDAP as its own documentation shows it: a search,
then a bind with the password; slapd with one database and an equality index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.bench.accounts import BARE_SUFFIX, DOMAIN, PASSWORD, Person, bare_entries
from tests.lab import Node

HOMES: Final = "/srv/bare/mailboxes"
SPOOL: Final = "/var/spool/postfix"
DATABASE: Final = "/var/lib/ldap-bare"
SLAPD_CONFIGURATION: Final = "/etc/ldap/bare.conf"

_MAIN: Final = """\
compatibility_level = 3.6
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = {hostname}
mydestination =
relayhost =
mynetworks = 127.0.0.0/8 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = hash:/etc/postfix/mailboxes
virtual_transport = lmtp:unix:private/dovecot-lmtp
"""

_DOVECOT: Final = """\
protocols = imap lmtp
listen = *
ssl = no
disable_plaintext_auth = no
log_path = syslog
mail_location = maildir:~/Maildir
mail_uid = vmail
mail_gid = vmail
auth_username_format = %Ln
namespace inbox {
  inbox = yes
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    user = postfix
    group = postfix
    mode = 0600
  }
}
"""
_STATIC: Final = f"""\
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = allow_all_users=yes home={HOMES}/%n
}}
"""
_LDAP: Final = """\
passdb {
  driver = ldap
  args = /etc/dovecot/dovecot-ldap.conf.ext
}
userdb {
  driver = ldap
  args = /etc/dovecot/dovecot-ldap.conf.ext
}
"""
_DOVECOT_LDAP: Final = f"""\
hosts = 127.0.0.1
auth_bind = yes
base = {BARE_SUFFIX}
pass_filter = (&(objectClass=inetOrgPerson)(uid=%u))
pass_attrs = uid=user
user_filter = (&(objectClass=inetOrgPerson)(uid=%u))
user_attrs = =home={HOMES}/%{{ldap:uid}}
"""
SLAPD: Final = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
loglevel none
database mdb
suffix "{BARE_SUFFIX}"
directory {DATABASE}
maxsize 17179869184
index objectClass,uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""


def home(person: Person) -> str:
    """Where the account's mail lies."""
    return f"{HOMES}/{person.local_part}"


def start_postfix(node: Node, accounts: Iterable[Person]) -> None:
    """Set Postfix up for these mailboxes and start it."""
    put(node, "/etc/postfix/main.cf", _MAIN.format(hostname=node.hostname, domain=DOMAIN))
    # Debian's own, but for the chroot: not having one is the faster of the two
    node.run(
        "sh",
        "-c",
        "sed -E '/^[a-z]/s/^(([^ ]+ +){4})y/\\1n/' /usr/share/postfix/master.cf.dist >/etc/postfix/master.cf",
    )
    put(node, "/etc/postfix/mailboxes", "".join(f"{person.address} {person.local_part}\n" for person in accounts))
    node.run("postmap", "hash:/etc/postfix/mailboxes")
    _start(node, "postfix", "postfix", "start-fg")
    _wait_port(node, 25)


def start_dovecot(node: Node, *, ldap: bool = False) -> None:
    """Set Dovecot up with a static user database, or with LDAP, and start it.

    Postfix comes first where there is one: the folder of the LMTP socket is its.
    """
    put(node, "/etc/dovecot/dovecot.conf", _DOVECOT + (_LDAP if ldap else _STATIC))
    put(node, "/etc/dovecot/dovecot-ldap.conf.ext", _DOVECOT_LDAP)
    node.run("install", "-d", "-o", "vmail", "-g", "vmail", "-m", "0700", "/srv/bare", HOMES)
    _start(node, "dovecot", "dovecot", "-F")
    _wait_port(node, 143)


def start_slapd(node: Node, accounts: Iterable[Person]) -> None:
    """Load the accounts into a new database and start slapd."""
    prepare_slapd(node)
    put(node, "/root/bare.ldif", "\n".join(bare_entries(accounts)))
    node.run("slapadd", "-q", "-f", SLAPD_CONFIGURATION, "-l", "/root/bare.ldif", timeout=60)
    node.run("chown", "-R", "openldap:openldap", DATABASE)
    run_slapd(node)


def prepare_slapd(node: Node) -> None:
    """Write slapd's configuration and make the folder of its database."""
    put(node, SLAPD_CONFIGURATION, SLAPD)
    node.run("install", "-d", "-o", "openldap", "-g", "openldap", "-m", "0700", DATABASE)


def run_slapd(node: Node) -> None:
    """Start slapd on the database as it is."""
    listen = ("-h", "ldap://127.0.0.1/", "-u", "openldap", "-g", "openldap")
    _start(node, "slapd", "/usr/sbin/slapd", "-d", "0", "-f", SLAPD_CONFIGURATION, *listen)
    _wait_port(node, 389)


def put(node: Node, path: str, text: str) -> None:
    """Write a file of a running node."""
    node.run("dd", f"of={path}", "status=none", input=text)


def _start(node: Node, name: str, *words: str) -> None:
    """Run a daemon in the foreground under systemd, as Debian's unit of it would."""
    properties = ("LimitNOFILE=65535", "StandardOutput=null", "StandardError=journal", "TasksMax=infinity")
    node.run(
        "systemd-run", "--quiet", f"--unit=bare-{name}", *(f"--property={each}" for each in properties), "--", *words
    )


def _wait_port(node: Node, port: int) -> None:
    def listening() -> bool:
        return f":{port} " in node.run("ss", "-Hltn").stdout

    node.wait_until(f"port {port} open", listening)
