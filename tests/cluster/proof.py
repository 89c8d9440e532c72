"""What must hold while and after something goes wrong, in one block: `with proof(cluster, people) as seen: …`.

At any instant one owner at most; every acknowledged message and change is there; the group serves again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.cluster import GROUP, Cluster
from tests.load.journal import PATH, audit_journal, entries
from tests.load.mail_load import MailLoad, Outcome, People
from tests.load.outage import OutageWatch, Target
from tests.load.ownership import OwnershipAuditor, Watched

QUEUE = f"/var/lib/posthouse/engines/postfix@{GROUP}/current"


@dataclass
class Seen:
    """What was seen; `began` is when the block did."""

    load: MailLoad
    outage: OutageWatch
    ownership: OwnershipAuditor
    began: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None

    def report(self) -> str:
        """The outages and the outcome in a few lines."""
        gaps = ", ".join(f"{each} {self.outage.outage(each, self.began) * 1000:.0f} ms" for each in ("smtp", "imap"))
        return f"outage {gaps}; {self.outcome}\n{self.ownership.findings.story()}"


@contextmanager
def proof(cluster: Cluster, people: People) -> Iterator[Seen]:
    """Load flows and everything is watched inside the block; after it the cluster heals and is audited."""
    watched = Watched(GROUP, (cluster.address,), cluster.disk.name)
    ownership = OwnershipAuditor(cluster.lab, watched).start()
    outage = OutageWatch(Target(cluster.address, people.probe, people.password))
    load = MailLoad(cluster.address, people)
    try:
        outage.start()
        load.start()
        seen = Seen(load, outage, ownership)
        yield seen
        cluster.recover()
        load.wait_flowing()
        load.stop()
        cluster.the_owner().wait_until("the queue is empty", lambda: queue_is_empty(cluster), timeout=170, every=0.5)
        seen.outcome = load.outcome()
    finally:
        load.stop()
        outage.finish()
        findings = ownership.finish()
    print(f"\n{seen.report()}")
    check(cluster, seen)
    assert not findings.violations, f"{findings.violations[:3]}\n{findings.story()}"


def check(cluster: Cluster, seen: Seen) -> None:
    """Every promise, from the ledgers and from the volume's own journal."""
    assert seen.outcome is not None
    assert not seen.outcome.wrong
    journal = (cluster.disk.path_on(cluster.the_owner()) / PATH).read_text()
    assert not audit_journal(entries(journal))


def queue_is_empty(cluster: Cluster) -> bool:
    """Nothing waits; what was deferred is tried at once."""
    owner = cluster.the_owner()
    waiting = owner.run("postqueue", "-c", QUEUE, "-j", check=False).stdout.strip()
    if waiting:
        owner.run("postqueue", "-c", QUEUE, "-f", check=False)
    return not waiting
