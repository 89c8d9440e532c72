"""The lab's network: one namespace with a bridge, one namespace a node, joined by veth pairs.

Names live inside namespaces, so labs never collide with each other or with the host.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.host import CommandFailed, command

BRIDGE = "lab0"
#: The lab's own address on the bridge: tests connect from it, and may listen on it (a DNS server, a mail exchanger).
LAB_ADDRESS = "10.57.0.254"
LAB_ADDRESS6 = "fd57::fe"
_CLONE_NEWNET = 0x40000000


def namespace_path(name: str) -> Path:
    """Where the namespace can be entered."""
    return Path("/run/netns") / name


def node_address(number: int) -> str:
    """The IPv4 address of the lab's node of that number."""
    return f"10.57.0.{number}"


def node_address6(number: int) -> str:
    """The IPv6 address of the lab's node of that number."""
    return f"fd57::{number:x}"


def port_name(number: int) -> str:
    """The lab's end of a node's cable."""
    return f"port{number}"


def _add_addresses(namespace: str, device: str, address: str, address6: str) -> None:
    command("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
    if Path("/proc/sys/net/ipv6").is_dir():
        command("ip", "-n", namespace, "address", "add", f"{address6}/64", "dev", device, "nodad")


def create_bridge(namespace: str) -> None:
    """Make the lab's namespace with its bridge."""
    command("ip", "netns", "add", namespace)
    command("ip", "-n", namespace, "link", "set", "lo", "up")
    # Where no test listens as the resolver, every question is refused at once. By default only some are, and an engine
    # that asks for a client's name then waits a second for each of the others (icmp(7), icmp_ratelimit).
    command("ip", "netns", "exec", namespace, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit")
    command("ip", "-n", namespace, "link", "add", BRIDGE, "type", "bridge")
    command("ip", "-n", namespace, "link", "set", BRIDGE, "up")
    _add_addresses(namespace, BRIDGE, LAB_ADDRESS, LAB_ADDRESS6)


def attach(lab: str, namespace: str, number: int) -> None:
    """Make a node's namespace, with eth0 joined to the lab's bridge as port NUMBER."""
    command("ip", "netns", "add", namespace)
    port = port_name(number)
    command("ip", "-n", lab, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    command("ip", "-n", lab, "link", "set", port, "master", BRIDGE, "up")
    command("ip", "-n", namespace, "link", "set", "lo", "up")
    command("ip", "-n", namespace, "link", "set", "eth0", "up")
    _add_addresses(namespace, "eth0", node_address(number), node_address6(number))


def set_cable(lab: str, number: int, *, plugged: bool) -> None:
    """Plug or pull the cable of a node: its port on the bridge goes up or down."""
    command("ip", "-n", lab, "link", "set", port_name(number), "up" if plugged else "down")


def forget_addresses(namespace: str, number: int) -> None:
    """Leave a node only the addresses that its cable was given: a server that starts has no others."""
    command("ip", "-n", namespace, "address", "flush", "dev", "eth0", "scope", "global")
    _add_addresses(namespace, "eth0", node_address(number), node_address6(number))


def detach(lab: str, number: int) -> None:
    """Remove port NUMBER of the lab's bridge with what it is joined to, if it exists.

    The kernel would do so some time after the node's namespace is gone, and the next node may get the number before.
    """
    if namespace_path(lab).exists():
        with suppress(CommandFailed):
            command("ip", "-n", lab, "link", "delete", port_name(number))


def remove(namespace: str) -> None:
    """Remove a namespace with the devices in it, if it exists."""
    if namespace_path(namespace).exists():
        with suppress(CommandFailed):
            command("ip", "netns", "delete", namespace)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Move the calling thread into a network namespace for the block.

    Threads and processes started inside belong to it too; sockets keep the
    namespace in which they were opened.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(namespace_path(namespace), os.O_RDONLY)
        try:
            _set_namespace(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)
