"""`posthouse node`: facts about the server that the command runs on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import click

from appliance.cli.output import Column, details, emit, json_option, table
from appliance.i18n import lazy, translate
from appliance.node.boots import Boot
from appliance.node.clock import Clock
from appliance.node.facts import NodeFacts, gather
from appliance.node.hardware import Machine, Memory, System
from appliance.node.storage import FileSystem
from appliance.settings.units import about_size, format_duration

_MINUTE = 60


@click.group(help=lazy("node-help"))
def node() -> None: ...


@node.command("show", help=lazy("node-show-help"))
@json_option
def show(as_json: bool) -> None:
    facts = gather()
    emit(facts, as_json, lambda: screen(facts))


def screen(facts: NodeFacts) -> Iterator[str]:
    """All facts as text, a section each, with a blank line between."""
    for number, (title, lines) in enumerate(_sections(facts)):
        if number:
            yield ""
        yield click.style(translate(title), bold=True)
        yield from (f"  {line}" for line in lines)


def _sections(facts: NodeFacts) -> Iterator[tuple[str, Iterable[str]]]:
    yield "node-section-system", details(_system(facts.system, facts.machine))
    yield "node-section-time", details(_clock(facts.clock))
    yield "node-section-memory", details(_memory(facts.memory))
    yield "node-section-disks", table(facts.file_systems, _DISKS)
    yield "node-section-network", table(facts.interfaces, _INTERFACES)
    yield "node-section-timers", table(facts.timers, _TIMERS)
    yield "node-section-cron", table(facts.cron_jobs, _CRON)
    yield "node-section-boot", details(_boot(facts.boot))
    if facts.boot.failed_units:
        yield "node-section-failed", table(facts.boot.failed_units, _FAILED)
    if facts.boot.earlier:
        yield "node-section-boots", table(facts.boot.earlier, _BOOTS)


def _system(system: System, machine: Machine) -> Iterator[tuple[str, object]]:
    yield translate("node-host-name"), system.host_name
    yield translate("node-hardware"), " ".join(filter(None, (machine.vendor, machine.product))) or None
    yield translate("node-serial"), machine.serial
    yield translate("node-virtualisation"), machine.virtualisation
    yield translate("node-processor"), machine.processor
    physical = machine.physical_cores or machine.logical_cores
    yield translate("node-cores"), translate("node-cores-value", physical=physical, logical=machine.logical_cores)
    yield translate("node-os"), system.name
    yield translate("node-kernel"), f"{system.kernel} ({machine.architecture})"
    yield translate("node-booted"), moment(system.booted_at)
    yield translate("node-uptime"), format_duration(int(system.uptime) // _MINUTE * _MINUTE)
    yield translate("node-load"), " ".join(f"{load:.2f}" for load in system.load)


def _clock(clock: Clock) -> Iterator[tuple[str, object]]:
    yield translate("node-time"), f"{moment(clock.now)} ({clock.zone})"
    yield translate("node-synchronised"), clock.synchronised
    yield translate("node-time-service"), clock.service or translate("node-no-time-service")
    yield translate("node-time-reference"), clock.reference
    if clock.maximum_error is not None:
        yield translate("node-time-error"), f"{clock.maximum_error * 1000:.0f} ms"


def _memory(memory: Memory) -> Iterator[tuple[str, object]]:
    yield translate("node-memory-total"), about_size(memory.total)
    yield translate("node-memory-used"), about_size(memory.used)
    yield translate("node-memory-available"), about_size(memory.available)
    yield translate("node-memory-cached"), about_size(memory.cached)
    yield (
        translate("node-swap"),
        translate("node-swap-value", used=about_size(memory.swap_used), total=about_size(memory.swap_total)),
    )


def _boot(boot: Boot) -> Iterator[tuple[str, object]]:
    yield translate("node-boot-id"), boot.boot_id
    yield translate("node-boot-state"), boot.state
    yield translate("node-boot-command-line"), boot.kernel_command_line
    yield translate("node-boot-failed"), len(boot.failed_units)


def moment(at: datetime | None) -> str | None:
    """A time for reading, in the node's zone."""
    return None if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _share(used: int, total: int) -> str | None:
    return f"{used * 100 / total:.0f} %" if total else None


def _space(each: FileSystem) -> str | None:
    usage = each.usage
    return None if usage is None else _share(usage.used, usage.used + usage.available)


def _inodes(each: FileSystem) -> str | None:
    usage = each.usage
    return None if usage is None else _share(usage.inodes - usage.inodes_free, usage.inodes)


def _options(each: FileSystem) -> str:
    """The mount options without an overlay's folders, which would fill the screen."""
    return ",".join(part for part in each.options.split(",") if "dir=" not in part)


_DISKS = (
    Column("node-column-folder", lambda each: each.folder),
    Column("node-column-device", lambda each: each.device),
    Column("node-column-kind", lambda each: each.kind),
    Column("node-column-size", lambda each: each.usage and about_size(each.usage.total), right=True),
    Column("node-column-available", lambda each: each.usage and about_size(each.usage.available), right=True),
    Column("node-column-used", _space, right=True),
    Column("node-column-inodes", _inodes, right=True),
    Column("node-column-options", lambda each: _options(each) if each.usage else translate("node-no-answer")),
)
_INTERFACES = (
    Column("node-column-interface", lambda each: each.name),
    Column("node-column-up", lambda each: each.up),
    Column("node-column-addresses", lambda each: each.addresses),
    Column("node-column-hardware-address", lambda each: each.hardware_address),
    Column("node-column-mtu", lambda each: each.mtu, right=True),
    Column("node-column-speed", lambda each: each.speed and f"{each.speed} Mbit/s", right=True),
)
_TIMERS = (
    Column("node-column-timer", lambda each: each.timer),
    Column("node-column-starts", lambda each: each.starts),
    Column("node-column-next", lambda each: moment(each.next_at)),
    Column("node-column-last", lambda each: moment(each.last_at)),
)
_CRON = (
    Column("node-column-schedule", lambda each: each.schedule),
    Column("node-column-user", lambda each: each.user),
    Column("node-column-command", lambda each: each.command),
    Column("node-column-source", lambda each: each.source),
)
_FAILED = (
    Column("node-column-unit", lambda each: each.unit),
    Column("node-column-description", lambda each: each.description),
)
_BOOTS = (
    Column("node-column-index", lambda each: each.index, right=True),
    Column("node-column-first", lambda each: moment(each.first_entry)),
    Column("node-column-latest", lambda each: moment(each.last_entry)),
    Column("node-column-boot-id", lambda each: each.boot_id),
)
