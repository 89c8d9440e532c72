"""Which settings ask for a reload of Dovecot."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import MAIL_GROUP, EngineName, InstanceId, NodeName
from appliance.engines.base import Change, RenderContext, Rendered
from appliance.engines.dovecot.engine import Dovecot
from appliance.settings.layers import SYSTEM, Layer, resolve


def rendered(secret: Path, values: dict[str, str]) -> Rendered:
    group = ServiceGroup(name=MAIL_GROUP, services=(EngineName("dovecot"),), candidates=(NodeName("n1"),))
    node = Node(name=NodeName("n1"), roles=frozenset({Role.STORE}))
    instance = InstanceId(EngineName("dovecot"), MAIL_GROUP)
    settings = resolve([Layer(SYSTEM, values)])
    return Dovecot(secret).render(RenderContext(instance, group, node, "mail.example.com", settings))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"smtp.submission_process_limit": "120"}, Change.NONE),
        ({"smtp.submission_process_limit": "5000"}, Change.RELOAD),
        ({"imap.process_limit": "1100"}, Change.RELOAD),
        ({"fts.enabled": "true"}, Change.NONE),
        ({"mailbox.language": '"ja"'}, Change.NONE),
        ({"smtp.banner": '"ESMTP hello"'}, Change.NONE),
    ],
)
def test_dovecot_is_reloaded_only_for_what_it_must_know(
    tmp_path: Path, values: dict[str, str], expected: Change
) -> None:
    secret = tmp_path / "probe"
    secret.write_text("x" * 32)
    assert Dovecot(secret).change(rendered(secret, {}), rendered(secret, values)) is expected
