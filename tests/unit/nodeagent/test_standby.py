"""The hot standby: what is made ready where, and what is told of it."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import paths
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName
from appliance.engines.base import (
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from nodeagent.agent import standby as module
from nodeagent.agent.standby import Standby, candidates

NODE = Node(name=NodeName("one"), roles=frozenset({Role.STORE}))
TOY = EngineName("toy")


def group(name: str, *on: str) -> ServiceGroup:
    return ServiceGroup(name=GroupName(name), candidates=tuple(map(NodeName, on)), services=(TOY,))


class Toy(Engine):
    """An engine whose checker refuses what it is told to."""

    facts = Facts(name=TOY, packages=(), default_units=())

    def __init__(self) -> None:
        self.problem = ""
        self.checks = 0

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        me = (pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)
        return (Directory(context.run, *me), Directory(context.volume / "toy", *me))

    def render(self, context: RenderContext) -> Rendered:
        return {"toy.conf": RenderedFile(f"{context.settings['value']}\n")}

    def check(self, context: RenderContext, folder: Path) -> None:
        self.checks += 1
        if self.problem:
            raise ConfigurationRefused(context.instance, self.problem)

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        return ()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    engine = Toy()
    monkeypatch.setattr(module, "ENGINES", {TOY: engine})
    for name in ("ENGINES", "RUN", "VOLUMES"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    (tmp_path / "volumes").mkdir()
    return engine


def context_of(settings: dict[str, Any]) -> module.ContextOf:
    def made(instance: InstanceId, its_group: ServiceGroup) -> RenderContext:
        return RenderContext(instance, its_group, NODE, "one.example.com", dict(settings))

    return made


async def until(news: asyncio.Event, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await news.wait()
            news.clear()


def test_a_node_stands_by_for_what_may_come_and_is_not_here() -> None:
    groups = {each.name: each for each in (group("a", "one", "two"), group("b", "two"), group("c"), group("d", "one"))}
    assert list(candidates(groups, NODE, here={GroupName("d")})) == ["a", "c"]


def test_a_standby_is_ready_when_its_configuration_is_checked_and_no_volume_is_touched(
    toy: Toy, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"value": 1}
    mail = group("mail", "one", "two")

    async def run() -> None:
        news = asyncio.Event()
        standby = Standby(context_of(settings), news.set)
        standby.want({mail.name: mail})
        (told,) = standby.reports()
        assert not told.ready
        assert told.problem is not None
        assert told.problem.key == "standby-not-checked-yet"
        await until(news, lambda: standby.reports()[0].ready)
        assert toy.checks == 1
        again = Standby(context_of(settings), news.set)  # as after a restart of the agent
        again.want({mail.name: mail})
        await until(news, lambda: again.reports()[0].ready)
        assert toy.checks == 1
        await again.close()

        toy.problem, settings["value"] = "no such value", 2
        standby.look_again()
        await until(news, lambda: not standby.reports()[0].ready)
        problem = standby.reports()[0].problem
        assert problem is not None
        assert problem.key == "configuration-refused"

        toy.problem, settings["value"] = "", 1
        standby.look_again()
        await until(news, lambda: standby.reports()[0].ready)
        await standby.close()

    asyncio.run(run())
    assert (paths.engine_folder(InstanceId(TOY, mail.name)) / "current" / "toy.conf").read_text() == "1\n"
    assert list((tmp_path / "volumes").iterdir()) == []


def test_a_standby_whose_own_directory_is_ill_is_not_ready(toy: Toy) -> None:
    mail = ServiceGroup(name=GroupName("mail"), services=(EngineName("dovecot"),))
    slapd = InstanceId.parse("slapd@local")
    standby = Standby(context_of({}), lambda: None)
    standby._groups = {mail.name: mail}
    assert standby.reports()[0].ready  # nothing of it is an engine that is known here
    (told,) = standby.reports([slapd])
    assert not told.ready
    assert told.problem is not None
    assert told.problem.facts["instance"] == "slapd@local"
