"""Names that certificates of the installation carry, apart from the library that reads certificates: it takes 9 MB,
and the agent needs the names alone."""

from __future__ import annotations

from typing import Final

#: In the node certificate of control nodes: whom a server that joins hands its token to.
CONTROL_NAME: Final = "control.posthouse.internal"
#: In every node's `inside` certificate: whom a group's Postfix and Dovecot expect where another group is.
MAIL_NAME: Final = "mail.posthouse.internal"
