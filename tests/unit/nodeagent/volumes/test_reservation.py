"""What is done about a device's reservation, and what comes of it on a device that keeps SPC-4's rules."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.names import NodeName
from nodeagent.resources.volumes import VolumeFault, reservation, tools
from nodeagent.resources.volumes.reservation import (
    Action,
    Registrations,
    Reservation,
    ReservationKey,
    Step,
    epoch_of,
    parse_capabilities,
    parse_keys,
    parse_reservation,
    plan,
)
from tests.unit.nodeagent.volumes.scsi_device import Device

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")
WERO = "Write Exclusive, registrants only"
FOREIGN = 0x123ABC


def key(node: NodeName, epoch: int) -> int:
    return ReservationKey(node, epoch).value


# --- keys -------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**40 - 1))
def test_a_key_is_eight_bytes_and_tells_its_epoch(epoch: int) -> None:
    made = ReservationKey(A, epoch)
    assert 0 < made.value < 2**64
    assert len(made.hex) == 16
    assert epoch_of(made.value) == epoch
    assert ReservationKey.parse(str(made)) == made


def test_a_key_of_somebody_else_has_no_epoch() -> None:
    assert epoch_of(FOREIGN) is None


@pytest.mark.parametrize("epoch", [0, -1, 2**40])
def test_an_epoch_that_does_not_fit_is_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match="epoch"):
        ReservationKey(A, epoch)


# --- what sg_persist and mpathpersist print ------------------------------------------------------------------


def test_registered_keys_are_read() -> None:
    text = "  PR generation=0x5, 2 registered reservation keys follow:\n    0x123abc\n    0x5000000000290a1b\n"
    assert parse_keys(text) == {0x123ABC, 0x5000000000290A1B}
    assert parse_keys("  PR generation=0x5, there are NO registered reservation keys\n") == frozenset()
    assert parse_keys("  PR generation=0x1, \t1 registered reservation key follows:\n    0x123abc\n\n") == {0x123ABC}


@pytest.mark.parametrize(
    "text",
    [
        "  PR generation=0x5, Reservation follows:\n    Key=0x123abc\n    scope: LU_SCOPE,  type: Write Exclusive, "
        "registrants only\n",
        "  PR generation=0x3, Reservation follows:\n   Key = 0x123abc\n  scope = LU_SCOPE, type = Write Exclusive, "
        "registrants only\n",
    ],
    ids=["sg_persist", "mpathpersist"],
)
def test_the_holder_is_read(text: str) -> None:
    assert parse_reservation(text) == (0x123ABC, WERO)


def test_no_holder_is_read() -> None:
    assert parse_reservation("  PR generation=0x5, there is NO reservation held\n") == (None, "")


def test_capabilities_are_read() -> None:
    found = parse_capabilities(Device().capabilities())
    assert found[WERO] is True
    assert found["Persist Through Power Loss Capable(PTPL_C)"] is True
    assert found["Persist Through Power Loss Active(PTPL_A)"] is False


# --- the plan ---------------------------------------------------------------------------------------------

MINE = ReservationKey(B, 50)
RESERVE = Step(Action.RESERVE)


def preempt(value: int) -> Step:
    return Step(Action.PREEMPT, value)


@pytest.mark.parametrize(
    ("others", "holder", "steps"),
    [
        pytest.param([], None, [RESERVE], id="nobody-else"),
        pytest.param([], MINE.value, [], id="done"),
        pytest.param([key(A, 40)], key(A, 40), [preempt(key(A, 40))], id="the-old-owner-holds-it"),
        pytest.param([key(A, 40)], None, [RESERVE, preempt(key(A, 40))], id="an-old-key-without-a-reservation"),
        pytest.param(
            [key(A, 40), key(C, 45)], key(C, 45), [preempt(key(C, 45)), preempt(key(A, 40))], id="the-holder-first"
        ),
        pytest.param([key(A, 40)], MINE.value, [preempt(key(A, 40))], id="held-by-us-one-left"),
    ],
)
def test_older_owners_are_shut_out_each_by_name(others: list[int], holder: int | None, steps: list[Step]) -> None:
    seen = Registrations(frozenset([MINE.value, *others]), holder, WERO if holder else "")
    assert list(plan("/dev/sdx", seen, MINE, 50)) == steps


@pytest.mark.parametrize(
    ("keys", "holder", "held_as", "below", "why"),
    [
        pytest.param([], None, "", 50, "volume-key-lost", id="our-key-is-gone"),
        pytest.param([MINE.value, key(A, 60)], key(A, 60), WERO, 50, "volume-newer-owner", id="a-newer-owner"),
        pytest.param([MINE.value, key(A, 50)], None, "", 50, "volume-newer-owner", id="the-same-epoch"),
        pytest.param([MINE.value, key(A, 1)], None, "", None, "volume-newer-owner", id="nobody-may-be-preempted"),
        pytest.param([MINE.value, FOREIGN], None, "", 50, "volume-foreign-key", id="somebody-elses-key"),
        pytest.param(
            [MINE.value],
            MINE.value,
            "Exclusive Access",
            50,
            "volume-foreign-reservation",
            id="another-kind-of-reservation",
        ),
    ],
)
def test_what_must_not_be_touched_is_refused(
    keys: list[int], holder: int | None, held_as: str, below: int | None, why: str
) -> None:
    with pytest.raises(VolumeFault) as caught:
        plan("/dev/sdx", Registrations(frozenset(keys), holder, held_as), MINE, below)
    assert caught.value.key == why


# --- on a device ------------------------------------------------------------------------------------------


@contextmanager
def on(device: Device, node: NodeName) -> Iterator[Reservation]:
    """The device as a node sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "run", functools.partial(device.run, node))
        yield Reservation(Path("/dev/sdx"))


def own(device: Device, node: NodeName, epoch: int) -> None:
    with on(device, node) as here:
        here.register(ReservationKey(node, epoch))
        here.take(ReservationKey(node, epoch), epoch)


def test_a_new_owner_ends_every_write_of_the_old_one() -> None:
    device = Device()
    own(device, A, 40)
    assert device.can_write(A)
    assert not device.can_write(B)
    own(device, B, 50)
    assert device.can_write(B)
    assert not device.can_write(A)
    assert device.aborted == [A], "what it had in flight is aborted"
    with on(device, A) as there:
        assert not there.registered(ReservationKey(A, 40))


def test_an_owner_that_was_stopped_before_it_preempted_shuts_nobody_out() -> None:
    device = Device()
    with on(device, A) as there:
        there.register(ReservationKey(A, 40))
    own(device, B, 50)
    with on(device, A) as there:
        with pytest.raises(VolumeFault) as caught:
            there.take(ReservationKey(A, 40), 40)
        assert caught.value.key == "volume-key-lost"
        there.register(ReservationKey(A, 40))  # it begins anew, with its old idea
        with pytest.raises(VolumeFault) as caught:
            there.take(ReservationKey(A, 40), 40)
        assert caught.value.key == "volume-newer-owner"
    assert device.can_write(B)


def test_giving_the_key_back_frees_the_device() -> None:
    device = Device()
    own(device, A, 40)
    with on(device, A) as here:
        here.unregister(ReservationKey(A, 40))
        here.unregister(ReservationKey(A, 40))
    assert device.registered == {}
    assert device.holder is None
    own(device, A, 41)
    with on(device, A) as here:
        here.unregister(None)
    assert device.registered == {}


def test_keys_outlive_a_power_cut_of_the_device_where_it_can_do_that(monkeypatch: pytest.MonkeyPatch) -> None:
    for lasting in (True, False):
        device, said = Device(lasting=lasting), list[str]()

        def run(
            *words: str, device: Device = device, said: list[str] = said, accept: tuple[int, ...] = (0,)
        ) -> tools.Done:
            said.extend(words)
            return device.run(A, *words, accept=accept)

        monkeypatch.setattr(tools, "run", run)
        Reservation(Path("/dev/sdx")).register(ReservationKey(A, 1))
        assert ("--param-aptpl" in said) is lasting


def test_a_program_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str, accept: object = ()) -> tools.Done:
        raise tools.ToolFailed(words[0], tools.Done(127, "", "No such file or directory"))

    monkeypatch.setattr(tools, "run", run)
    with pytest.raises(VolumeFault) as caught:
        Reservation(Path("/dev/sdx")).check()
    assert caught.value.key == "volume-reservation-failed"


def test_a_device_with_several_paths_is_spoken_to_by_its_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = tmp_path / "class/block/dm-0/dm/uuid"
    uuid.parent.mkdir(parents=True)
    uuid.write_text("mpath-3600a0b80000f1e2d")
    said: list[tuple[str, ...]] = []

    def run(*words: str, accept: object = ()) -> tools.Done:
        said.append(words)
        return tools.Done(0, "", "")

    monkeypatch.setattr(tools, "run", run)
    Reservation(Path("/dev/dm-0"), tmp_path).registered(ReservationKey(A, 1))
    assert said == [("mpathpersist", "--in", "--read-keys", "--device=/dev/dm-0")]


_STEPS = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["register", "take", "release"])), min_size=1, max_size=40
)


@given(_STEPS)
def test_whoever_has_taken_the_device_last_by_epoch_is_the_only_one_who_can_write(
    story: list[tuple[NodeName, str]],
) -> None:
    """Grants come in order, but the owners' own steps in any: stopped ones wake up and go on."""
    device, epochs, granted, newest = Device(), dict[NodeName, int](), 0, 0
    for node, step in story:
        with on(device, node) as here, suppress(VolumeFault):
            if step == "register":
                granted += 1
                epochs[node] = granted
                here.register(ReservationKey(node, granted))
            elif node in epochs and step == "take":
                here.take(ReservationKey(node, epochs[node]), epochs[node])
                assert epochs[node] >= newest, "an older grant took the device back"
                newest = epochs[node]
                assert [each for each in (A, B, C) if device.can_write(each)] == [node]
            elif node in epochs:
                here.unregister(ReservationKey(node, epochs[node]))


def test_the_device_of_the_tests_prints_what_is_parsed() -> None:
    device = Device()
    own(device, A, 40)
    assert parse_keys(device.keys()) == {key(A, 40)}
    assert parse_reservation(device.reservation()) == (key(A, 40), WERO)
    assert reservation.parse_reservation(Device().reservation()) == (None, "")
