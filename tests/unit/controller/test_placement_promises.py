"""What placement promises in every situation that hypothesis builds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cluster.decided import Placement, Wish
from appliance.cluster.model import Failback, FailbackPolicy, Node, Role, ServiceGroup
from appliance.cluster.names import GroupName, NodeName
from controller.placement.decide import place
from controller.placement.situation import OWNING, Policy, SeenWish, Situation
from tests.unit.controller.situations import group, node, placements

NODES = [NodeName(name) for name in "abcde"]
GROUPS = [GroupName(name) for name in ("g", "h", "i", "k", "l", "m")]
LABELS = [{}, {"disk": "fast"}]


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    return [
        node(
            name,
            roles=draw(
                st.sampled_from([frozenset({Role.STORE}), frozenset({Role.WITNESS}), frozenset({Role.DATABASE})])
            ),
            labels=draw(st.sampled_from(LABELS)),
            most_groups=draw(st.sampled_from([None, None, 0, 1, 2, 3])),
        )
        for name in NODES[: draw(st.integers(1, 5))]
    ]


@st.composite
def groups(draw: st.DrawFn) -> list[ServiceGroup]:
    names = GROUPS[: draw(st.integers(1, 6))]
    some = st.sets(st.sampled_from(names), max_size=2)
    return [
        group(
            name,
            *draw(st.lists(st.sampled_from(NODES), max_size=3, unique=True)),
            labels=draw(st.sampled_from(LABELS)),
            priority=draw(st.integers(-1, 1)),
            together=draw(st.one_of(st.just(set()), some)),
            apart=draw(st.one_of(st.just(set()), some)) - {name},
            failback=Failback(policy=draw(st.sampled_from(FailbackPolicy)), settle=draw(st.sampled_from([0, 60]))),
        )
        for name in names
    ]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    known, wanted = draw(nodes()), draw(groups())
    names = [each.name for each in known]
    maybe = st.one_of(st.none(), st.sampled_from(names))
    pairs = st.frozensets(st.tuples(st.sampled_from(GROUPS), st.sampled_from(names)), max_size=2)
    placed = {}
    for each in wanted:
        if draw(st.booleans()):
            facts = {"wish": 7} if draw(st.booleans()) else {}
            placed[each.name] = Placement(group=each.name, node=draw(maybe), facts=facts)
    wishes = {
        each.name: SeenWish(Wish(group=each.name, node=draw(maybe), stopped=draw(st.booleans())), 7)
        for each in wanted
        if draw(st.integers(0, 3)) == 0
    }
    running = {each.name: at for each in wanted if (at := draw(maybe)) is not None}
    return Situation(
        groups={each.name: each for each in wanted},
        nodes={each.name: each for each in known},
        ready={name: draw(st.sampled_from([1.0, 100.0])) for name in names if draw(st.integers(0, 3))},
        running=running,
        placed=placed,
        wishes=wishes,
        drained=frozenset(name for name in names if draw(st.integers(0, 3)) == 0),
        unfit=draw(pairs),
        cold=draw(pairs),
        burden={name: 1 for name in names if draw(st.integers(0, 5)) == 0},
    )


policies = st.builds(Policy, moves_at_once=st.integers(1, 3))
many = settings(max_examples=30, deadline=None)


@many
@given(situations(), policies)
def test_every_group_has_one_choice(given_: Situation, policy: Policy) -> None:
    assert place(given_, policy).keys() == given_.groups.keys()


@many
@given(situations(), policies)
def test_groups_that_must_be_apart_never_share_a_node(given_: Situation, policy: Policy) -> None:
    made = place(given_, policy)
    for name, spec in given_.groups.items():
        for other in spec.apart & given_.groups.keys():
            assert made[name].node is None or made[name].node != made[other].node


@many
@given(situations(), policies)
def test_no_node_gets_more_than_it_may(given_: Situation, policy: Policy) -> None:
    made = place(given_, policy)
    for name, spec in given_.nodes.items():
        there = {each for each, choice in made.items() if choice.node == name}
        was_there = {each for each in given_.groups if name in (given_.running.get(each), given_.home(each))}
        if spec.most_groups is not None and there - was_there:
            assert len(there) + given_.burden.get(name, 0) <= spec.most_groups


@many
@given(situations(), policies)
def test_a_group_goes_only_where_it_may_and_can(given_: Situation, policy: Policy) -> None:
    for name, choice in place(given_, policy).items():
        if choice.node is not None and choice.node != given_.running.get(name):
            assert given_.nodes[choice.node].roles & OWNING
            assert given_.fits(name, choice.node)


@many
@given(situations(), policies)
def test_a_stopped_group_is_nowhere(given_: Situation, policy: Policy) -> None:
    made = place(given_, policy)
    assert all(made[name].node is None for name in given_.groups if given_.stopped(name))


@many
@given(situations(), policies)
def test_deciding_again_changes_nothing(given_: Situation, policy: Policy) -> None:
    first = place(given_, policy)
    again = place(replace(given_, placed=placements(first)), policy)
    assert {name: choice.node for name, choice in again.items()} == {
        name: choice.node for name, choice in first.items()
    }
    assert {name: choice.wish for name, choice in again.items()} == {
        name: choice.wish for name, choice in first.items()
    }


@many
@given(situations(), policies)
def test_what_runs_well_alone_and_unasked_stays(given_: Situation, policy: Policy) -> None:
    """Nobody moves a group that has no reason of its own to move."""
    made = place(given_, policy)
    for name, spec in given_.groups.items():
        at = given_.home(name)
        plain = not spec.together and not any(name in other.together for other in given_.groups.values())
        alone = not spec.apart and not any(name in other.apart for other in given_.groups.values())
        content = spec.failback.policy is FailbackPolicy.MANUAL and name not in given_.wishes
        if at is not None and plain and alone and content and given_.fits(name, at) and at not in given_.drained:
            here = sum(given_.home(each) == at for each in given_.groups) + given_.burden.get(at, 0)
            most = given_.nodes[at].most_groups
            if most is None or here <= most:
                assert made[name].node == at


@many
@given(situations(), policies)
def test_planned_moves_stay_few(given_: Situation, policy: Policy) -> None:
    """Besides what is on its way already, and what may not wait: wishes, separation, volumes that fail."""
    made = place(given_, policy)
    leisurely = {"placement-drained", "placement-limit", "placement-failback", "placement-not-allowed"}
    moved = [name for name, choice in made.items() if choice.why in leisurely]
    bundles = any(spec.together for spec in given_.groups.values())
    assert bundles or len(moved) <= policy.moves_at_once


@many
@given(situations(), policies)
def test_when_all_moves_are_done_it_comes_to_rest(given_: Situation, policy: Policy) -> None:
    """Groups that arrive where they were placed do not wander for ever."""
    for _ in range(20):
        goals = placements(place(given_, policy))
        arrived = {name: goal.node for name, goal in goals.items() if goal.node is not None}
        if arrived == given_.running and goals == given_.placed:
            return
        given_ = replace(given_, running=arrived, placed=goals)
    raise AssertionError("it never comes to rest")
