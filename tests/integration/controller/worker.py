"""A node's agent as far as scheduled work goes: NODE ENDPOINT PKI FOLDER. The programs are processes without systemd.

A group is here while FOLDER/owned/GROUP stands. A program outlives this process, as a unit outlives the agent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.cluster.work import Run
from appliance.coordination.access import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import Record
from nodeagent.agent.follow import StoreFollower
from nodeagent.work.kinds import Kind
from nodeagent.work.programs import Look, Progress
from nodeagent.work.runner import WorkRunner

#: Says when it began, and ends as the file `go` says: with what code, after which words.
PROGRAM = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "begun").open("a") as begun:
    print(sys.argv[2], file=begun)
until = time.monotonic() + 60
while not (folder / "go").exists() and time.monotonic() < until:
    time.sleep(0.02)
code, _, words = (folder / "go").read_text().partition(" ")
print(words)
sys.exit(int(code))
"""
#: Writes down the code in the end, whoever its parent is then.
SHELL = """
"$2" -c "$3" "$4" "$5" > "$1.out" 2>&1
echo $? > "$1.code.new"
mv "$1.code.new" "$1.code"
"""


class ProcessPrograms:
    """Each program in a session of its own, with its pid, output and exit code in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _base(self, run: Run) -> Path:
        return self._folder / f"{run.group}:{run.work}:{run.id}"

    async def start(self, run: Run, kind: Kind) -> None:
        words = [str(self._base(run)), sys.executable, PROGRAM, str(self._folder), run.id]
        process = await asyncio.create_subprocess_exec("sh", "-c", SHELL, "sh", *words, start_new_session=True)
        self._base(run).with_suffix(".pid").write_text(str(process.pid))

    async def look(self, run: Run) -> Look:
        base = self._base(run)
        if not base.with_suffix(".pid").exists():
            return Look(Progress.ABSENT)
        if not base.with_suffix(".code").exists():
            return Look(Progress.RUNNING)
        code = int(base.with_suffix(".code").read_text())
        return Look(Progress.FAILED if code else Progress.DONE, "exit-code" if code else "", code)

    async def lines(self, run: Run) -> tuple[str, ...]:
        return tuple(self._base(run).with_suffix(".out").read_text().splitlines()[-3:])

    async def forget(self, run: Run) -> None:
        base = self._base(run)
        if base.with_suffix(".pid").exists() and not base.with_suffix(".code").exists():
            os.killpg(int(base.with_suffix(".pid").read_text()), signal.SIGKILL)
        for suffix in (".pid", ".code"):
            base.with_suffix(suffix).unlink(missing_ok=True)


async def serve(node: str, store: EtcdStore, folder: Path) -> None:
    (folder / "owned").mkdir(parents=True, exist_ok=True)
    kinds = {"backup": Kind("unused", ())}

    def owned() -> list[GroupName]:
        return [GroupName(file.name) for file in (folder / "owned").iterdir()]

    runner = WorkRunner(NodeName(node), lambda: store, ProcessPrograms(folder), owned, kinds)
    loop = asyncio.get_running_loop()

    def changed(records: list[Record], connected: bool) -> None:
        loop.call_soon_threadsafe(runner.take, records, connected)

    StoreFollower(NodeName(node), lambda: store, changed, keys.RUNS).start()
    await runner.run()


def main(node: str, endpoint: str, pki: str, folder: str) -> None:
    with EtcdStore([endpoint], Keys.read(Path(pki))) as store:
        asyncio.run(serve(node, store, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
