"""What the units of the mail engines forbid, and what they must not."""

from __future__ import annotations

import pytest

from tests.lab import Node


@pytest.mark.parametrize("unit", ["posthouse-postfix@mail.service", "posthouse-dovecot@mail.service"])
def test_engines_may_set_alarms_but_have_no_keys_of_the_kernel(node: Node, unit: str) -> None:
    """Alarms end a wait for a mailbox's lock (Dovecot, after 3 minutes) and a daemon that hangs (Postfix's watchdog).

    Neither engine looks whether alarm(2) worked: without it they would wait forever.
    """
    allowed = node.run("systemctl", "show", "--property=SystemCallFilter", "--value", unit).stdout.split()
    assert "alarm" in allowed
    assert not {"keyctl", "add_key", "io_uring_setup", "mount", "bpf"} & set(allowed)
