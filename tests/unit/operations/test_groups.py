"""What of a group is refused before it is written."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup, VolumeDriver, VolumeSpec
from appliance.cluster.names import EngineName, GroupName, NodeName
from appliance.errors import BadInput
from appliance.operations.groups import check, volume

A, B, W = NodeName("a"), NodeName("b"), NodeName("w")
NODES = {
    A: Node(name=A, roles=frozenset({Role.STORE}), address=ip_address("10.0.0.1")),
    B: Node(name=B, roles=frozenset({Role.STORE}), address=ip_address("10.0.0.2")),
    W: Node(name=W, roles=frozenset({Role.WITNESS})),
}
SHARED = VolumeSpec(driver=VolumeDriver.BLOCK, source="/dev/sdb")
OTHER = ServiceGroup(name=GroupName("other"), volume=SHARED, addresses=(ip_address("10.0.0.9"),))


def group(**fields: Any) -> ServiceGroup:
    wanted = {"name": "mail", "volume": SHARED, "candidates": (A, B), "services": (EngineName("postfix"),), **fields}
    return ServiceGroup.model_validate(wanted)


def test_a_good_group_passes() -> None:
    check(group(addresses=("10.0.0.10", "fd00::10"), apart=frozenset({"other"})), {OTHER.name: OTHER}, NODES)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"services": ("etcd",)}, "services"),
        ({"services": ("sendmail",)}, "services"),
        ({"candidates": ("a", "x")}, "candidates"),
        ({"candidates": ("a", "w")}, "candidates"),
        ({"volume": VolumeSpec()}, "candidates"),
        ({"addresses": ("10.0.0.9",)}, "addresses"),
        ({"addresses": ("10.0.0.2",)}, "addresses"),
        ({"addresses": ("127.0.0.1",)}, "addresses"),
        ({"addresses": ("ff02::1",)}, "addresses"),
        ({"apart": frozenset({"nobody"})}, "apart"),
        ({"together": frozenset({"mail"})}, "together"),
        ({"together": frozenset({"other"}), "apart": frozenset({"other"})}, "apart"),
        ({"name": "local"}, "group"),
    ],
)
def test_what_could_never_work_is_refused_by_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        check(group(**fields), {OTHER.name: OTHER}, NODES)
    assert refused.value.field == field
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("tape:/dev/st0", "volume-unknown-driver"),
        ("directory:/srv", "volume-directory-has-no-source"),
        ("block", "volume-needs-source"),
        ("block:/srv/disk", "volume-not-a-device"),
        ("block:/dev/sd b", "volume-source-malformed"),
        ("block:/dev/\x1b[2J", "volume-source-malformed"),
        ("nfs:server", "volume-not-an-export"),
    ],
)
def test_a_volume_that_could_not_be_is_refused(text: str, key: str) -> None:
    with pytest.raises(BadInput) as refused:
        volume(text, sources={}, filesystem=None, reservation=False)
    assert refused.value.key == key


def test_a_volume_may_have_another_name_on_each_node() -> None:
    spec = volume("block", sources={A: "/dev/loop1", B: "/dev/loop2"}, filesystem="xfs", reservation=False)
    assert (spec.source_on(A), spec.source_on(B)) == ("/dev/loop1", "/dev/loop2")
    assert volume("nfs:10.0.0.5:/mail", sources={}, filesystem=None, reservation=False).source == "10.0.0.5:/mail"
