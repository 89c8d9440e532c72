"""`posthouse node show` on the machine that runs the tests, whatever it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.node import node
from appliance.i18n import LANGUAGES
from tests.lab import Node


def show(*arguments: str, lang: str = "en") -> str:
    result = CliRunner().invoke(node, ["show", *arguments], env={"POSTHOUSE_LANG": lang}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_json_tells_what_the_kernel_tells() -> None:
    facts = json.loads(show("--json"))
    assert facts["system"]["host_name"] == os.uname().nodename
    assert facts["system"]["kernel"] == f"Linux {os.uname().release}"
    assert facts["system"]["uptime"] > 0
    assert facts["machine"]["logical_cores"] >= 1
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert facts["memory"]["total"] == int(total.split()[1]) * 1024
    assert facts["boot"]["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    assert {address for each in facts["interfaces"] for address in each["addresses"]} >= {"127.0.0.1/8"}


def test_the_root_file_system_is_shown_with_its_space() -> None:
    (root,) = [each for each in json.loads(show("--json"))["file_systems"] if each["folder"] == "/"]
    found = os.statvfs("/")
    assert root["usage"]["total"] == found.f_blocks * found.f_frsize
    assert 0 < root["usage"]["available"] <= root["usage"]["total"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_screen_speaks_every_language(lang: str) -> None:
    screen = show(lang=lang)
    assert os.uname().nodename in screen
    assert {"en": "Uptime", "zh-CN": "运行时长", "zh-TW": "運作時間", "ja": "稼働時間"}[lang] in screen


def test_a_booted_node_tells_its_timers_boots_and_time_service(fresh_node: Node) -> None:
    facts = json.loads(fresh_node.run("/opt/posthouse/bin/posthouse", "node", "show", "--json").stdout)
    assert facts["system"]["host_name"] == fresh_node.hostname
    assert facts["machine"]["virtualisation"] == "systemd-nspawn"
    assert facts["boot"]["state"] in {"running", "degraded"}
    assert facts["boot"]["earlier"][-1]["index"] == 0
    assert facts["boot"]["earlier"][-1]["boot_id"] == facts["boot"]["boot_id"]
    assert "systemd-tmpfiles-clean.timer" in {timer["timer"] for timer in facts["timers"]}
    assert facts["clock"]["service"] == "chrony"
    assert fresh_node.address in {each.partition("/")[0] for eth in facts["interfaces"] for each in eth["addresses"]}


def test_a_failed_unit_of_a_booted_node_is_named(fresh_node: Node) -> None:
    fresh_node.run("systemd-run", "--unit=doomed", "--wait", "false", check=False)
    facts = json.loads(fresh_node.run("/opt/posthouse/bin/posthouse", "node", "show", "--json").stdout)
    assert facts["boot"]["failed_units"][0]["unit"] == "doomed.service"
    assert facts["boot"]["state"] == "degraded"
