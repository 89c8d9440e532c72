"""The questions that Postfix asks the directory (ldap_table(5)), one file each.

Addresses come as people write them: a domain as A-labels or U-labels, a local part
with an extension. docs/developers/directory.md has the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.directory import schema as s


@dataclass(frozen=True)
class LdapMap:
    """One table. `%s` in `filter` is the key, `%d` its domain; in `format` capitals are the key's parts.

    `terminal` names an attribute that, where an entry has it, is the result instead of `result`.
    """

    purpose: str
    filter: str
    result: str
    scope: str = "sub"
    terminal: str = ""
    format: str = ""


def _named(key: str) -> str:
    return f"(|({s.ASSOCIATED_DOMAIN}={key})({s.DOMAIN_NAME}={key}))"


_DOMAIN_OR_ALIAS: Final = f"(|(objectClass={s.DOMAIN})(objectClass={s.DOMAIN_ALIAS}))"
_MAILBOX: Final = f"(objectClass={s.MAILBOX})"
_ALIAS: Final = f"(objectClass={s.ALIAS})({s.STATUS}=active)"

MAPS: Final[Mapping[str, LdapMap]] = {
    "domains": LdapMap(
        "Is this domain ours, as domain or as domain alias?",
        f"(&{_DOMAIN_OR_ALIAS}{_named('%s')})",
        s.ASSOCIATED_DOMAIN,
        scope="one",
    ),
    "addresses": LdapMap(
        "Where does mail for this address go: to itself (a mailbox) or to an alias's targets?",
        f"(&({s.MAIL}=%s)(|{_MAILBOX}(&{_ALIAS})))",
        s.MAIL,
        terminal=s.TARGET,
    ),
    "rewrites": LdapMap(
        "The same address in the one domain, as A-labels, that a domain alias or a U-label stands for.",
        f"(|(&(objectClass={s.DOMAIN_ALIAS}){_named('%d')})(&(objectClass={s.DOMAIN})({s.DOMAIN_NAME}=%d)))",
        s.ASSOCIATED_DOMAIN,
        scope="one",
        terminal=s.ALIASED_DOMAIN,
        format="%U@%s",
    ),
    "a-labels": LdapMap(
        "The same address with A-labels, if the domain with these U-labels is ours.",
        f"(&{_DOMAIN_OR_ALIAS}({s.DOMAIN_NAME}=%d))",
        s.ASSOCIATED_DOMAIN,
        scope="one",
        format="%U@%s",
    ),
    "known": LdapMap(
        "The address itself, if somebody gets its mail: a domain alias alone makes no address.",
        f"(&(|({s.MAIL}=%s)({s.MAIL}=@%d))(|{_MAILBOX}(&{_ALIAS})))",
        s.MAIL,
        format="%S",
    ),
    "recipients": LdapMap(
        "What stands for or against this recipient? Read by verdicts.pcre: TRUE refuses, near asks for the quota, the"
        " address itself exists.",
        f"(|(&({s.MAIL}=%s)(|{_MAILBOX}(&{_ALIAS})))(&({s.REFUSE_MAIL}=TRUE)({s.ASSOCIATED_DOMAIN}=%d)))",
        f"{s.REFUSE_MAIL}, {s.QUOTA_STATE}, {s.MAIL}",
    ),
}
#: Asked only where there are several groups.
GROUP_MAPS: Final[Mapping[str, LdapMap]] = {
    "group": LdapMap(
        "Which group has this mailbox? A key that is no address is not looked up.",
        f"(&{_MAILBOX}({s.MAIL}=%u@%d))",
        s.GROUP,
    ),
}
