"""Names in the directory: suffix, containers, classes and attributes of `posthouse.schema`.

Everything that reads or writes the directory (this room, the rendering of slapd,
Postfix and Dovecot) takes the names from here. The tree and the filters that
engines use are drawn in docs/developers/directory.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from appliance import paths
from appliance.cluster.names import LOCAL_GROUP, EngineName, InstanceId

SCHEMA_VERSION: Final = 1
SCHEMA_FILE: Final = Path(__file__).parent / "posthouse.schema"

SUFFIX: Final = "o=posthouse"
#: Domains, and below each its mailboxes and aliases. Engines search only here.
DOMAINS: Final = f"ou=domains,{SUFFIX}"
#: Deleted mailboxes whose mail is kept; they can be restored.
DELETED: Final = f"ou=deleted,{SUFFIX}"
#: Deleted mailboxes whose mail is being removed; there is no way back.
PURGING: Final = f"ou=purging,{SUFFIX}"
CONTAINERS: Final = (DOMAINS, DELETED, PURGING)

SLAPD: Final = InstanceId(EngineName("slapd"), LOCAL_GROUP)
SOCKET: Final = paths.run(SLAPD) / "ldapi"
URI: Final = f"ldapi://{quote(str(SOCKET), safe='')}"

#: Classes
DIRECTORY: Final = "posthouseDirectory"
DOMAIN: Final = "posthouseDomain"
DOMAIN_ALIAS: Final = "posthouseDomainAlias"
MAILBOX: Final = "posthouseMailbox"
ALIAS: Final = "posthouseAlias"

#: Attributes
ASSOCIATED_DOMAIN: Final = "associatedDomain"
DOMAIN_NAME: Final = "posthouseDomainName"
ALIASED_DOMAIN: Final = "posthouseAliasedDomain"
MAIL: Final = "mail"
LOGIN: Final = "posthouseLogin"
TARGET: Final = "posthouseTarget"
ID: Final = "posthouseId"
PATH: Final = "posthousePath"
GROUP: Final = "posthouseGroup"
MOVING: Final = "posthouseMoving"
QUOTA: Final = "posthouseQuota"
QUOTA_STATE: Final = "posthouseQuotaState"
#: Value of QUOTA_STATE: usage is near the quota, or its distance is not known.
NEAR: Final = "near"
STATUS: Final = "posthouseStatus"
REFUSE_MAIL: Final = "posthouseRefuseMail"
SETTING: Final = "posthouseSetting"
PASSWORD: Final = "userPassword"  # noqa: S105 - the attribute's name
PASSWORD_CHANGED_AT: Final = "posthousePasswordChangedAt"  # noqa: S105 - likewise
DISPLAY_NAME: Final = "displayName"
DESCRIPTION: Final = "description"
DELETED_AT: Final = "posthouseDeletedAt"
PREVIOUS_MAIL: Final = "posthousePreviousMail"
VERSION: Final = "posthouseSchemaVersion"

#: What Postfix may read, besides `entry` and `objectClass`: routing, never a password.
ROUTING_ATTRIBUTES: Final = (
    ASSOCIATED_DOMAIN,
    DOMAIN_NAME,
    ALIASED_DOMAIN,
    MAIL,
    LOGIN,
    TARGET,
    ID,
    PATH,
    GROUP,
    STATUS,
    REFUSE_MAIL,
    QUOTA,
    QUOTA_STATE,
)
