"""Nodes by hand: `./run lab boot mail1`, `./run lab shell mail1`, `./run lab run mail1 -- posthouse status`, ...

Each node booted this way has a lab of its own, which lives until `stop`. Nodes of
other labs are named LAB/NODE, as in `./run lab shell demo/mail1`.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.lab.host import LabError
from tests.lab.lab import REGISTRY, Lab, names, remove_stale
from tests.lab.node import Node


def _lab_name(node: str) -> str:
    return f"by-hand-{node}"


def _lab(name: str) -> Lab:
    lab, slash, _ = name.partition("/")
    return Lab.attach(lab if slash else _lab_name(name))


def _node(name: str) -> Node:
    node = name.rpartition("/")[2]
    try:
        return _lab(name).nodes[node]
    except KeyError:
        raise LabError(f"no node {node} in that lab") from None


def boot(name: str) -> None:
    """Boot a node that stays."""
    lab = Lab.create(_lab_name(name))
    try:
        node = lab.node(name).boot()
    except BaseException:
        lab.close()
        raise
    supervisor = node.supervisor
    if supervisor is None:
        raise LabError(f"{name} ended at once: {node.console()}")
    lab.hand_over(supervisor)
    print(f"{name} runs at {node.address} in network namespace {lab.namespace}; end it with: ./run lab stop {name}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="./run lab", description="Boot nodes of the root filesystem by hand.")
    commands = top.add_subparsers(dest="command", required=True)
    for command, text in (
        ("boot", "boot a node that stays"),
        ("shell", "open a shell in a node"),
        ("journal", "show a node's journal"),
        ("kill", "end a node at once; its disk stays, until somebody cleans up"),
        ("stop", "end a node and remove it"),
    ):
        commands.add_parser(command, help=text).add_argument("name")
    run = commands.add_parser("run", help="run a command in a node")
    run.add_argument("name")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    net = commands.add_parser("net", help="run a command of this machine on a node's network")
    net.add_argument("name")
    net.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    commands.add_parser("list", help="list what runs")
    commands.add_parser("clean", help="remove labs whose owner has died")
    return top


def main() -> int:
    """Run one command; return the exit status."""
    given = parser().parse_args()
    words = [word for position, word in enumerate(getattr(given, "words", [])) if (position, word) != (0, "--")]
    match given.command:
        case "boot":
            boot(given.name)
        case "shell":
            line = _node(given.name).command_line("bash", "-l", env={"TERM": os.environ.get("TERM", "dumb")})
            os.execvp(line[0], line)
        case "run":
            line = _node(given.name).command_line(*words)
            os.execvp(line[0], line)
        case "net":
            lab = _lab(given.name)
            os.execvp("ip", ["ip", "netns", "exec", lab.namespace, *words])
        case "journal":
            print(_node(given.name).journal(), end="")
        case "kill":
            _node(given.name).kill()
        case "stop":
            _lab(given.name).close()
        case "list":
            for name in names():
                lab = Lab.attach(name)
                print(name, *(f"{node.name}={'up' if node.running else 'down'}" for node in lab.nodes.values()))
        case "clean":
            remove_stale()
            print(f"left in {REGISTRY}: {', '.join(names()) or 'nothing'}")
    return 0


try:
    sys.exit(main())
except LabError as error:
    sys.exit(f"lab: {error}")
