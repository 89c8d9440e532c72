"""`posthouse cluster init|token|join`: a cluster out of servers."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import timedelta
from ipaddress import ip_address

import click

from appliance import node_file
from appliance.cli.init import identify, wait_until_healthy
from appliance.cli.output import emit, json_option
from appliance.cluster.model import Role
from appliance.coordination import connect, join_tokens
from appliance.directory import replicas
from appliance.errors import BadInput, PosthouseError
from appliance.i18n import lazy, translate
from appliance.installation import accounts as fixed_accounts
from appliance.installation import cluster_init, cluster_state, joining, preflight, sendmail, steps
from appliance.installation.alone import alone
from appliance.installation.join_messages import PORT, Address, Ticket
from appliance.installation.steps import Step
from appliance.node_file import NodeFile
from appliance.settings.units import parse_duration

_ALL_ROLES = ",".join(sorted(steps.ROLES))


@click.command("init", help=lazy("cluster-init-help"))
@click.option("--address", "address_text", required=True, help=lazy("cluster-address-help"))
@json_option
def cluster_begin(address_text: str, as_json: bool) -> None:
    address = read_address(address_text)
    with alone() if os.geteuid() == 0 else nullcontext():
        need_root()
        identity = node_file.read()
        cluster_init.check(identity, address)
        began = time.time()
        changed = carry_out(cluster_init.steps(identity, address), as_json)
        wait_until_healthy(began)
    emit({"node": node_file.read(), "changed": changed}, as_json, lambda: [translate("cluster-init-done")])


@click.command("token", help=lazy("cluster-token-help"))
@click.option("--roles", "roles_text", default=_ALL_ROLES, show_default=True, help=lazy("cluster-token-roles-help"))
@click.option("--lifetime", default="1h", show_default=True, help=lazy("cluster-token-lifetime-help"))
@json_option
def cluster_token(roles_text: str, lifetime: str, as_json: bool) -> None:
    need_root()
    roles = read_roles(roles_text)
    try:
        lasting = timedelta(seconds=(seconds := parse_duration(lifetime)))
    except (ValueError, OverflowError) as error:
        raise BadInput("lifetime", "join-token-lifetime", days=join_tokens.LONGEST.days) from error
    cluster_state.need_etcd(node_file.read())
    with connect() as store:
        addresses = tuple(node.address for node in cluster_state.control_nodes(store) if node.address)
        if not addresses:
            raise PosthouseError("cluster-not-made")
        token = join_tokens.issue(store, roles, lasting)
    ticket = Ticket(addresses=addresses, authority=cluster_init.authority_fingerprint(), token=token).text()
    emit({"token": ticket, "roles": roles, "lifetime": seconds}, as_json, lambda: [ticket])


@click.command("join", help=lazy("cluster-join-help"))
@click.option("--token", required=True, help=lazy("cluster-join-token-help"))
@click.option("--hostname", help=lazy("init-hostname-help"))
@click.option("--name", help=lazy("init-name-help"))
@click.option("--address", "address_text", help=lazy("cluster-join-address-help"))
@json_option
def cluster_join(token: str, hostname: str | None, name: str | None, address_text: str | None, as_json: bool) -> None:
    ticket = Ticket.read(sys.stdin.read() if token == "-" else token)  # noqa: S105 - from standard input
    with alone() if os.geteuid() == 0 else nullcontext():
        need_root()
        if steps.already_initialised() and not joining.has_joined():
            raise PosthouseError("join-initialised-already")
        wanted = identify(hostname, name)
        address = wanted.address or (read_address(address_text) if address_text else towards(ticket))
        cluster_init.own_address(address)
        ports = (*preflight.PORTS, PORT, replicas.PORT)
        found = preflight.findings(preflight.look(ports), initialised=joining.has_joined())
        if found:
            raise preflight.NotReady(found)
        began = time.time()
        changed = carry_out(_joining_steps(ticket, wanted, address), as_json)
        identity = node_file.read()
        wait_until_healthy(began, ())
    done = translate("cluster-join-done", name=identity.name, roles=", ".join(sorted(identity.roles)))
    emit({"node": identity, "changed": changed}, as_json, lambda: [done])


def _joining_steps(ticket: Ticket, wanted: NodeFile, address: Address) -> Iterable[Step]:
    yield Step("init-step-default-units", steps.mask_default_units)
    yield Step("init-step-accounts", fixed_accounts.bring_about)
    yield Step("join-step-place", lambda: _take_place(ticket, wanted, address))
    identity = node_file.read()
    yield Step("init-step-sendmail", lambda: sendmail.bring_about(identity))
    yield Step("init-step-units", steps.start_units)
    yield Step("join-step-vote", lambda: joining.vote(identity))
    if joining.is_control(identity):
        yield Step("cluster-step-units", cluster_init.start_control_units)
    yield Step("join-step-forget", joining.forget_keys)


def _take_place(ticket: Ticket, wanted: NodeFile, address: Address) -> bool:
    if joining.has_joined():
        return False
    joining.join(ticket, wanted.name, wanted.hostname, address)
    return True


def carry_out(todo: Iterable[Step], as_json: bool) -> bool:
    """Run steps and say of each whether it changed anything; return whether any did."""
    changed = False
    for step in todo:
        did = step.run()
        changed = changed or did
        if not as_json:
            click.echo(f"  {'+' if did else '='} {translate(step.key)}")
    return changed


def read_address(text: str) -> Address:
    """An address; raises BadInput."""
    try:
        return ip_address(text.strip())
    except ValueError as error:
        raise BadInput("address", "cluster-bad-address", value=text) from error


def read_roles(text: str) -> frozenset[Role]:
    """Roles by commas; raises BadInput."""
    try:
        roles = frozenset(Role(word.strip()) for word in text.split(","))
    except ValueError as error:
        known = ", ".join(sorted(Role))
        raise BadInput("roles", "cluster-bad-roles", value=text, known=known) from error
    if Role.WITNESS in roles and len(roles) > 1:
        raise BadInput("roles", "join-witness-alone")
    return roles


def towards(ticket: Ticket) -> Address:
    """The address from which this server reaches the cluster; nothing is sent."""
    there = ticket.addresses[0]
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the IP version
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(there), PORT))
            return ip_address(probe.getsockname()[0])
    except OSError as error:
        raise BadInput("address", "join-nobody-answers", detail=str(error)) from error


def need_root() -> None:
    """Raise PosthouseError unless run by root."""
    if os.geteuid() != 0:
        raise PosthouseError("cluster-needs-root")
