"""The steps of `posthouse init`. Each looks first and changes only what is not yet so.

Nothing here starts an engine: that is the agent's work, once the node has its
identity, its keys and its desired state.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from appliance import node_file, paths
from appliance.cluster import keys
from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import MAIL_GROUP, EngineName, NodeName, Seconds
from appliance.coordination import connect
from appliance.coordination.store import Store, StoreUnavailable
from appliance.errors import PosthouseError
from appliance.installation import accounts, preflight, sendmail
from appliance.node_file import NodeFile
from appliance.pki import sealing, upkeep

UNITS = ("posthouse-keeper.service", "posthouse-agent.service")
#: The services of a small installation's one group, in start order.
MAIL_SERVICES = (EngineName("dovecot"), EngineName("postfix"))
ROLES = frozenset({Role.CONTROL, Role.EDGE, Role.STORE, Role.DIRECTORY, Role.DATABASE, Role.WEB})
_COMMAND = Seconds(60.0)
_STORE_WAIT = Seconds(60.0)


class Answers(BaseModel):
    """What an answer file (YAML) may say; flags say the same. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hostname: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Step:
    """One step: the message key that names it, and what does it (returns whether anything changed)."""

    key: str
    run: Callable[[], bool]


def steps(identity: NodeFile) -> Iterable[Step]:
    """Every step for this identity, in order."""
    # No engine may run while its account gets another number.
    yield Step("init-step-default-units", mask_default_units)
    yield Step("init-step-accounts", accounts.bring_about)
    yield Step("init-step-identity", lambda: write_identity(identity))
    yield Step("init-step-sendmail", lambda: sendmail.bring_about(identity))
    yield Step("init-step-keys", lambda: make_keys(identity))
    yield Step("init-step-units", start_units)
    yield Step("init-step-desired", lambda: write_desired(identity))


def mask_default_units() -> bool:
    """Stop and mask Debian's own instances of the engines."""
    states = systemctl("is-enabled", *preflight.DEFAULT_UNITS, check=False).split()
    if states and all(state == "masked" for state in states):
        return False
    systemctl("mask", "--now", *preflight.DEFAULT_UNITS)
    return True


def write_identity(identity: NodeFile) -> bool:
    """Write node.yaml unless it says the same already."""
    try:
        if node_file.read() == identity:
            return False
    except PosthouseError:
        pass
    node_file.write(identity)
    return True


def make_keys(identity: NodeFile) -> bool:
    """The installation's authority, this node's certificates and the key of sealed settings, where they are missing."""
    made = upkeep.load_authority() is None
    upkeep.ensure_authority(f"Posthouse {identity.hostname}")
    sealing_made = sealing.ensure_key()
    return bool(upkeep.ensure(identity)) or made or sealing_made


def start_units() -> bool:
    """Start keeper and agent, now and at every boot."""
    before = systemctl("is-active", *UNITS, check=False).split()
    # systemd knows these units already; to read all of its units anew would take the longest of all steps
    systemctl("--no-reload", "enable", *UNITS)
    systemctl("start", *UNITS)
    return before != ["active"] * len(UNITS)


def write_desired(identity: NodeFile) -> bool:
    """This node's record and the group `mail`, where the store has none yet."""
    with _store(identity) as store:
        made = [
            store.create(keys.node(identity.name), Node(name=identity.name, roles=identity.roles).model_dump_json()),
            store.create(keys.group(MAIL_GROUP), mail_group(identity.name).model_dump_json()),
        ]
    return any(outcome.succeeded for outcome in made)


def mail_group(node: NodeName) -> ServiceGroup:
    """The one group of a one-server installation."""
    return ServiceGroup(name=MAIL_GROUP, services=MAIL_SERVICES, candidates=(node,))


@retry(
    retry=retry_if_exception_type(StoreUnavailable),
    stop=stop_after_delay(_STORE_WAIT),
    wait=wait_fixed(0.3),
    reraise=True,
)
def _store(identity: NodeFile) -> Store:
    """The store, once the agent has started it."""
    store = connect(identity)
    try:
        store.get(keys.node(identity.name), deadline=Seconds(2.0))
    except StoreUnavailable:
        store.close()
        raise
    return store


def systemctl(*words: str, check: bool = True) -> str:
    """What systemctl(1) answers; raise PosthouseError when `check` and it fails, or when it does not end."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=_COMMAND, check=False)
    except subprocess.TimeoutExpired as error:
        raise PosthouseError("init-systemctl-failed", command=" ".join(words), detail="no answer") from error
    if check and done.returncode != 0:
        raise PosthouseError("init-systemctl-failed", command=" ".join(words), detail=done.stderr.strip()[:500])
    return done.stdout


def already_initialised() -> bool:
    """Whether this server is a node already."""
    return paths.NODE_FILE.exists()
