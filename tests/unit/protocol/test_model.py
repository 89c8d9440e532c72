"""The protocol as it is keeps its promises in every world that hypothesis builds."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from appliance.ownership import owner, taker
from appliance.ownership.owner import Identity
from tests.unit.protocol.cluster import SETUPS, Cluster, Shape
from tests.unit.protocol.drivers import Protocol
from tests.unit.protocol.model import TakeoverModel, profile

AS_IT_IS = Protocol(owner, taker, Identity)


class Faithful(TakeoverModel):
    """The code as it is; at the end all faults end, and every group must come back."""

    protocol = AS_IT_IS

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.must_serve()


@pytest.mark.parametrize("setup", SETUPS)
def test_never_two_owners_and_service_again_when_the_faults_end(setup: str) -> None:
    model = Faithful.with_faults(setups=(setup,))
    run_state_machine_as_test(model, settings=profile(examples=60, steps=20))


@pytest.mark.parametrize("setup", SETUPS)
def test_a_quiet_cluster_serves_from_its_first_choice(setup: str) -> None:
    cluster = Cluster(Shape(SETUPS[setup], groups=2), AS_IT_IS)
    cluster.world.advance(10.0)
    assert {cluster.serving(group) for group in cluster.volumes} == {"a"}
