"""The start of both daemons: this node's identity, or a clear end that systemd does not repeat."""

from __future__ import annotations

import logging
import os
import sys

from appliance import node_file
from appliance.errors import BadInput, NotFound
from appliance.node_file import NodeFile


def identity(log: logging.Logger) -> NodeFile:
    """Return what node.yaml says.

    A broken or missing one does not mend itself: the process says so in one line and ends with EX_CONFIG
    (sysexits.h), which the units name in RestartPreventExitStatus.
    """
    try:
        return node_file.read()
    except (BadInput, NotFound) as error:
        log.error("%s; what runs goes on. Mend it, then: systemctl restart posthouse-keeper posthouse-agent", error)
        sys.exit(os.EX_CONFIG)
