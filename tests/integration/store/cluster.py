"""Three members of a store on loopback, and what can be done to them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from appliance.coordination.store import Store
from tests.integration.store.watching import eventually
from tests.integration.store_process import StoreProcess, wait_until_ready


class StoreCluster:
    """Its members have disks of their own (StoreProcess.own_disk)."""

    def __init__(self, members: Sequence[StoreProcess]) -> None:
        self.members = list(members)
        for member in self.members:
            member.own_disk = True

    def store(self, *members: StoreProcess, deadline: float = 3.0) -> Store:
        """A client of these members, of all when none is named."""
        return self.members[0].store_of(members or self.members, deadline=deadline)

    def leader(self) -> StoreProcess:
        """The member that leads, which has to be one."""
        found: list[StoreProcess] = []

        def one_leads() -> bool:
            found[:] = []
            for member in self.members:
                with contextlib.suppress(Exception):  # it is being elected, or starts
                    if member.leads():
                        found.append(member)
            return len(found) == 1

        eventually(one_leads, 30.0)
        return found[0]

    def followers(self) -> list[StoreProcess]:
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def release(self) -> None:
        """Thaw every process and every disk."""
        for member in self.members:
            member.release_disk()
            member.thaw()

    def mend(self) -> None:
        """Every member runs and answers."""
        self.release()
        for member in self.members:
            if member.process is None:
                member.start()
        for member in self.members:
            with member.store() as asked:
                wait_until_ready(asked, 40.0)

    def end(self) -> None:
        self.release()
        for member in self.members:
            member.kill()
