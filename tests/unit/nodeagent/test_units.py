"""Names on the bus."""

from __future__ import annotations

from nodeagent.resources.units import unit_path


def test_unit_names_become_object_paths() -> None:
    assert (
        unit_path("posthouse-postfix@mail.service")
        == "/org/freedesktop/systemd1/unit/posthouse_2dpostfix_40mail_2eservice"
    )
