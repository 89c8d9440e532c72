"""A client in a process of its own, which a test pauses: raises a counter when told to, and tells what it watched.

Reads a line from standard input for each step, and answers with one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from appliance.cluster.names import Seconds
from appliance.coordination import zookeeper_connection
from appliance.coordination.store import Field, Guard, Put, StoreUnavailable
from tests.integration.etcd_server import EtcdServer
from tests.integration.store_process import StoreProcess
from tests.integration.zookeeper_server import ZooKeeperServer

BACKENDS: dict[str, type[StoreProcess]] = {"EtcdServer": EtcdServer, "ZooKeeperServer": ZooKeeperServer}
#: Shorter than the product's, so that a test can outlast it.
SESSION = Seconds(2.0)


def main(backend: str, pki: str, prefix: str, *ports: str) -> None:
    zookeeper_connection.SESSION_TIMEOUT = SESSION
    members = BACKENDS[backend].members_of(Path(pki), Path(pki), len(ports))
    for member, port in zip(members, ports, strict=True):
        member.client_port = int(port)
    with members[0].store_of(members) as store:
        start = store.put(prefix + "mine", "0")
        watch = store.watch(prefix, after=start, idle=Seconds(0.1))
        seen = start
        tell({"revision": start})
        for line in sys.stdin:
            if line.strip() == "write":
                outcome = store.transact(
                    [Guard(prefix + "mine", Field.MOD_REVISION, seen)], [Put(prefix + "mine", "1")]
                )
                seen = outcome.revision if outcome.succeeded else seen
                tell({"succeeded": outcome.succeeded, "revision": outcome.revision})
            else:
                until = int(line)
                revisions: list[int] = []
                for batch in watch:
                    revisions += [event.revision for event in batch]
                    if revisions and revisions[-1] >= until:
                        break
                tell({"watched": revisions})


def tell(facts: dict[str, object]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StoreUnavailable as error:
        tell({"error": error.key})
