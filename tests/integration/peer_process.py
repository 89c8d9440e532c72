"""A program: one agent's probing of its peers, `python -m tests.integration.peer_process NAME KEYS NODES`.

NODES is JSON, name -> address. Each time the set of nodes without an answer changes it prints it, a JSON list a line.
Ends in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from ipaddress import ip_address
from pathlib import Path

from appliance.cluster.model import Node, Role
from appliance.cluster.names import NodeName
from nodeagent.health.peer_wire import PeerTls
from nodeagent.health.peers import Peers


def tell(unanswered: frozenset[NodeName]) -> None:
    print(json.dumps(sorted(unanswered)), flush=True)


async def main(name: str, keys: str, nodes: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    known = {
        NodeName(each): Node(name=NodeName(each), roles=frozenset({Role.STORE}), address=ip_address(address))
        for each, address in json.loads(nodes).items()
    }
    peers = Peers(NodeName(name), PeerTls(Path(keys)), tell)
    peers.follow(known, str(known[NodeName(name)].address))
    await ended.wait()
    await peers.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
