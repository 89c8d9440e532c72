"""The cluster of several modules of tests: made once for each, taken away after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.lab import Lab
from tests.lab.cluster import NAMES, Cluster
from tests.lab.fence import FenceDevice
from tests.load.journal import PATH, entries, owners_in_order
from tests.load.mail_load import People

PEOPLE = People("load.test", "correct-horse-battery-9")


@contextmanager
def serving(lab: Lab, names: Sequence[str] = NAMES) -> Iterator[Cluster]:
    """Nodes that share a disk and serve the group `mail` on a virtual address, with people."""
    fence = FenceDevice(lab).start()
    try:
        made = Cluster.build(lab, fence, names)
        made.add_people(PEOPLE.domain, PEOPLE.all, PEOPLE.password)
        yield made
    finally:
        fence.stop()  # whoever is left would switch on again what is taken away
        for node in list(lab.nodes.values()):
            if node.name in NAMES:
                lab.remove_node(node)
        for disk in list(lab.disks.values()):
            lab.remove_disk(disk)


def owners(cluster: Cluster) -> list[str]:
    """Who had the volume, one after the other, by its own journal."""
    return owners_in_order(entries((cluster.disk.path_on(cluster.the_owner()) / PATH).read_text()))
