"""The lab: nodes of the shipped root filesystem, booted with real systemd, on a network of their own.

`Lab` is a network namespace with a bridge; `Node` is a container on it, booted by
systemd-nspawn from an overlay over the root filesystem (docs/developers/lab.md).
Nothing touches the host's network, and several labs run side by side. Used by the
tests' fixtures, by the demo and, as `python -m tests.lab`, by developers.
"""

from tests.lab.host import CommandFailed, LabError
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.polling import wait_until

__all__ = ["CommandFailed", "Lab", "LabError", "Node", "wait_until"]
