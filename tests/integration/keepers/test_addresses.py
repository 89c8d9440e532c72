"""A group's addresses, as jobs add and remove them, on a link of a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_INSIDE = """
import json, sys
from ipaddress import ip_address
from pathlib import Path
from appliance import paths
from appliance.cluster.model import ServiceGroup
from nodeagent.ownership.work import do
from nodeagent.resources.addresses import present

paths.VOLUMES = Path(sys.argv[1])
addresses = (ip_address("10.9.0.20"), ip_address("fd09::20"))
group = ServiceGroup(name="shared", addresses=addresses, candidates=("one", "two"))
request = {"group": group.model_dump_json(), "node": "one", "epoch": 5, "owner_epoch": 6}
do({**request, "do": "take", "below": None, "clear_mmp": False})
taken = present(addresses)
do({**request, "do": "give", "force": True, "unknown": True})
do({**request, "do": "give", "force": False, "unknown": False})
print(len(taken), len(present(addresses)))
"""
_LINK = """
ip link add eth0 type veth peer name peer0 && ip link set peer0 up && ip link set eth0 up
ip address add 10.9.0.1/24 dev eth0 && ip address add fd09::1/64 dev eth0
exec "$@"
"""


def test_taking_adds_them_and_giving_removes_them_however_often(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    program = [sys.executable, "-c", _INSIDE, str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", _LINK, "sh", *program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("2 0\n", 0), done.stderr
