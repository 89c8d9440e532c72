"""What Postfix knows of other groups: where their mail is taken in, and what of it is not ours. Pure.

A recipient's group is what the directory says (`group.cf`). Mail of a group that nobody can hand it to waits in the
queue (`retry`, error(8)): a group may be new here, or about to go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.cluster.model import ServiceGroup
from appliance.engines import topology
from appliance.engines.base import RenderContext

#: Names the group of a recipient, and the intake of each: there, mail of other groups is known.
TRANSPORTS: Final = "transports.pcre"
#: What intake says of a mailbox that went elsewhere meanwhile, as one of both copies of the directory says.
NOT_HERE: Final = "450 4.3.5 "


def tables(context: RenderContext) -> Mapping[str, str]:
    """Tables of pcre_table(5) by file name; the key of each is the name of a group."""
    mine = context.group.name
    return {
        TRANSPORTS: "".join(
            (
                # what virtual_transport says
                f"/^{mine}$/ :\n",
                *(f"/^{group.name}$/ intake:{_place(group)}\n" for group in context.others if group.addresses),
                "/./ retry:4.3.5 The group of this mailbox cannot be reached yet\n",
            )
        ),
        "here.pcre": f"!/^{mine}$/ {NOT_HERE}This mailbox is not here\n",
        "quota.pcre": f"/^{mine}$/ posthouse_quota_here\n/./ posthouse_quota_elsewhere\n",
    }


def _place(group: ServiceGroup) -> str:
    """Where the group takes mail of other groups in, as smtp(8) takes a destination."""
    return f"[{group.addresses[0]}]:{topology.INTAKE}"
