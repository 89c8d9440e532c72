"""The log in ZooKeeper against a plain dictionary, with writers that act on what they read long ago."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordination import zookeeper_log as layout
from appliance.coordination.store import Delete, Event, Field, Guard, Put, Record


class Nodes(dict[str, bytes]):
    """What ZooKeeper promises of a transaction: all operations in order, or none."""

    def carry_out(self, operations: tuple[layout.Operation, ...]) -> bool:
        draft = dict(self)
        for operation in operations:
            if (operation.path in draft) is isinstance(operation, layout.Create):
                return False
            match operation:
                case layout.Create(path, data) | layout.Set(path, data):
                    draft[path] = data
                case layout.Remove(path):
                    del draft[path]
        self.clear()
        self.update(draft)
        return True

    def head(self) -> layout.Head:
        return layout.head_of(self[layout.HEAD])

    def record(self, key: str) -> Record | None:
        path = layout.key_path(key)
        return layout.record_of(key, self[path]) if path in self else None

    def plan(self, guards: list[Guard], changes: list[Put | Delete]) -> layout.Plan:
        keys = [each.key for each in [*guards, *changes]]
        return layout.plan(self.head(), {key: self.record(key) for key in keys}, guards, changes)


@pytest.fixture
def nodes() -> Nodes:
    return founded()


def founded() -> Nodes:
    made = Nodes()
    assert made.carry_out(layout.FOUNDING)
    return made


keys = st.sampled_from(["/a", "/b", "/c"])
changes = st.one_of(st.builds(Put, keys, st.sampled_from(["x", "y"])), st.builds(Delete, keys))
transactions = st.lists(changes, min_size=1, max_size=3, unique_by=lambda change: change.key)


@given(steps=st.lists(st.tuples(transactions, st.integers(0, 4)), max_size=25))
def test_a_plan_is_carried_out_exactly_when_nobody_wrote_since_it_was_read(
    steps: list[tuple[list[Put | Delete], int]],
) -> None:
    """Plans wait for a number of steps before they are sent; only those that rest on the newest revision count."""
    nodes, model, waiting = founded(), dict[str, str](), list[tuple[int, int, layout.Plan, list[Put | Delete]]]()
    for now, (wanted, delay) in enumerate(steps):
        waiting.append((now + delay, nodes.head().revision, nodes.plan([], wanted), wanted))
        for due in [each for each in waiting if each[0] <= now]:
            waiting.remove(due)
            _, read_at, plan, changed = due
            fresh = read_at == nodes.head().revision
            assert nodes.carry_out(plan.operations) is fresh
            if fresh:
                assert nodes.head().revision == plan.revision
                for change in changed:
                    if isinstance(change, Put):
                        model[change.key] = change.value
                    else:
                        model.pop(change.key, None)
        assert {key: record.value for key in ["/a", "/b", "/c"] if (record := nodes.record(key))} == model


def carry_out(nodes: Nodes, *wanted: Put | Delete, guard: Guard | None = None) -> layout.Plan:
    plan = nodes.plan([guard] if guard else [], list(wanted))
    assert nodes.carry_out(plan.operations)
    return plan


def test_a_key_made_anew_has_another_create_revision_although_its_version_is_the_same(nodes: Nodes) -> None:
    first = carry_out(nodes, Put("/a", "x")).revision
    carry_out(nodes, Delete("/a"))
    again = carry_out(nodes, Put("/a", "x")).revision
    assert again > first
    for field in (Field.CREATE_REVISION, Field.MOD_REVISION):
        assert not carry_out(nodes, Put("/a", "stolen"), guard=Guard("/a", field, first)).succeeded
        assert carry_out(nodes, guard=Guard("/a", field, again)).succeeded


def test_a_refused_guard_is_confirmed_like_a_write_and_changes_nothing(nodes: Nodes) -> None:
    before = dict(nodes)
    late = nodes.plan([Guard("/a", Field.VALUE, "x")], [Put("/b", "y")])
    assert not late.succeeded
    assert nodes.carry_out(late.operations)
    assert nodes == before
    carry_out(nodes, Put("/a", "x"))
    assert not nodes.carry_out(late.operations)


def test_deleting_what_is_not_there_makes_no_revision(nodes: Nodes) -> None:
    plan = carry_out(nodes, Delete("/a"))
    assert plan.succeeded
    assert plan.revision == nodes.head().revision == 1


def test_a_key_deleted_twice_in_one_transaction_is_gone_once(nodes: Nodes) -> None:
    carry_out(nodes, Put("/a", "x"))
    plan = carry_out(nodes, Delete("/a"), Delete("/a"))
    assert layout.events_of(plan.revision, nodes[layout.log_path(plan.revision)]) == [Event("/a", None, plan.revision)]


def test_the_log_keeps_as_many_revisions_as_it_should_and_says_so(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "KEPT", 5)
    for number in range(20):
        carry_out(nodes, Put("/a", str(number)))
    kept = sorted(path for path in nodes if path.startswith(layout.LOG + "/"))
    head = nodes.head()
    assert kept == [layout.log_path(revision) for revision in range(head.oldest, head.revision + 1)]
    assert len(kept) == 5


def test_a_plan_older_than_the_log_is_not_carried_out(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision it would write was written and forgotten since."""
    monkeypatch.setattr(layout, "KEPT", 2)
    late = nodes.plan([], [Put("/a", "late")])
    for number in range(10):
        carry_out(nodes, Put("/b", str(number)))
    assert layout.log_path(late.revision) not in nodes
    assert not nodes.carry_out(late.operations)


def test_fewer_kept_than_before_are_forgotten_in_portions(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(350):
        carry_out(nodes, Put("/a", str(number)))
    monkeypatch.setattr(layout, "KEPT", 10)
    portions = [len(carry_out(nodes, Put("/a", "x")).operations) for _ in range(5)]
    assert max(portions) <= layout.FORGOTTEN_AT_ONCE + 4
    assert nodes.head().revision - nodes.head().oldest == 9


@given(
    writes=st.lists(transactions, min_size=1, max_size=12),
    read_at=st.dictionaries(keys, st.integers(0, 12)),
)
def test_records_read_at_different_moments_become_one_moment(
    writes: list[list[Put | Delete]], read_at: dict[str, int]
) -> None:
    nodes, states, events = founded(), list[dict[str, Record | None]](), list[Event]()
    for wanted in writes:
        states.append({key: nodes.record(key) for key in ("/a", "/b", "/c")})
        plan = carry_out(nodes, *wanted)
        path = layout.log_path(plan.revision)
        if path in nodes:
            events += layout.events_of(plan.revision, nodes[path])
    states.append({key: nodes.record(key) for key in ("/a", "/b", "/c")})
    seen = {key: states[min(read_at.get(key, 0), len(writes))][key] for key in ("/a", "/b", "/c")}
    known = {key: record for key, record in seen.items() if record}
    unique = list(dict.fromkeys(events))
    assert layout.fold(known, unique, "/") == [record for record in states[-1].values() if record]


@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=12), prefix=st.text(max_size=3))
def test_every_key_has_a_node_of_its_own(key: str, prefix: str) -> None:
    node = layout.key_path(key).removeprefix(layout.KEYS + "/")
    assert "/" not in node
    assert node.isascii()
    assert node.isprintable()
    assert node not in {"", ".", ".."}
    assert layout.key_of(node) == key


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param([Put("/a", "1"), Put("/a", "2")], "duplicate key", id="put-twice"),
        pytest.param([Put("/a", "1"), Delete("/a")], "duplicate key", id="put-and-delete"),
        pytest.param([Put("", "1")], "key is not provided", id="no-key"),
        pytest.param([Put("/a", "x" * 2_000_000)], "too large", id="large"),
        pytest.param([Put(f"/{number}", "") for number in range(129)], "too many operations", id="many"),
        pytest.param([Put(f"/{number}", "") for number in range(128)], None, id="as-many-as-may-be"),
        pytest.param([Delete("/a"), Delete("/a")], None, id="deleted-twice"),
    ],
)
def test_what_etcd_refuses_is_refused_in_its_words(changes: list[Put | Delete], word: str | None) -> None:
    refusal = layout.refusal([], changes)
    assert (refusal is None) if word is None else (refusal is not None and word in refusal)


def test_revisions_are_dense(nodes: Nodes) -> None:
    revisions = [carry_out(nodes, Put("/a", str(number))).revision for number in range(5)]
    assert all(after == before + 1 for before, after in itertools.pairwise(revisions))
