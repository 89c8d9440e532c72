"""The model is worth something: it finds what is wrong with each of these protocols."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.protocol.cluster import Promises, TwoOwners, Violation
from tests.unit.protocol.model import TakeoverModel, profile
from tests.unit.protocol.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_protocol_is_caught(mutation: Mutation) -> None:
    with mutation.applied() as protocol:
        promises = Promises.OWNERS_SIDE if mutation.promise else Promises.ONE_WRITER
        model = TakeoverModel.with_faults(
            *mutation.faults, protocol=protocol, setups=mutation.setups, promises=promises
        )
        with pytest.raises(Violation if mutation.promise else TwoOwners):
            # it ends with the first find, within some dozens mostly; which examples come changes with the code
            run_state_machine_as_test(model, settings=profile(examples=2000, steps=20))
