"""`./run demo` starts the demo and tells what it did. Called by ./run, as root.

`./run demo kill|freeze|partition NODE`, `move GROUP NODE`, `heal` and `status` let anyone watch a failover;
`./run demo stop` ends it.
"""

from __future__ import annotations

import imaplib
import json
import os
import poplib
import secrets
import shutil
import signal
import ssl
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from functools import partial

from tests.demo import background, blows, clients
from tests.demo.clients import Account
from tests.demo.state import CA_FILE, FOLDER, LOAD_FILE, NAME, State, shown
from tests.lab import Lab, LabError, wait_until
from tests.lab.appliance import NotHealthy, copy_ca, create_domain, create_mailbox
from tests.lab.cluster import Cluster
from tests.lab.fence import FenceDevice
from tests.lab.host import Process
from tests.load.mail_load import People

Reader = Callable[[int, ssl.SSLContext, Account], list[EmailMessage]]

DOMAIN = "example.test"
#: port of the node -> the wanted one on 127.0.0.1
PORTS = {25: 2525, 587: 5870, 465: 4650, 143: 1430, 993: 9930, 110: 1100, 995: 9950, 4190: 4190}
SERVICES = (
    ("SMTP submission", 587, "STARTTLS"),
    ("SMTP submission", 465, "TLS"),
    ("IMAP", 993, "TLS"),
    ("IMAP", 143, "STARTTLS"),
    ("POP3", 995, "TLS"),
    ("POP3", 110, "STARTTLS"),
    ("ManageSieve", 4190, "STARTTLS"),
    ("SMTP from other servers", 25, "STARTTLS"),
)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    print(f"  {title:<58}", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:6.1f} s")


def running() -> Lab | None:
    """The demo's lab, if it runs."""
    with suppress(LabError):
        lab = Lab.attach(NAME)
        return lab if lab.owner.alive else None
    return None


def exchange(state: State) -> None:
    """Send a message from the first account to the second, and read it back in both ways."""
    alice, bob = state.accounts
    context = clients.verifying(state.hostname, CA_FILE)
    sent = clients.compose(alice, bob)

    def look(read: Reader, port: int) -> list[EmailMessage]:
        return [each for each in read(state.ports[port], context, bob) if clients.same(each, sent)]

    with step("alice sends to bob: submission, STARTTLS, AUTH"):
        answer = clients.submit(state.ports[587], context, alice, sent)
    print(f"      the server said: {answer}")
    for title, read, port in (
        ("bob reads it by IMAP over TLS", clients.read_imap, 993),
        ("bob reads it by POP3 over TLS", clients.read_pop3, 995),
    ):
        with step(title):
            arrived = wait_until(title, partial(look, read, port), timeout=20, every=0.2)
        print(f"      {arrived[0]['Subject']}")


def tell(state: State, cluster: Cluster) -> None:
    """Say how to use the running demo."""
    print(f"\nIt keeps running. From this machine (server name {state.hostname}):")
    for name, port, security in SERVICES:
        print(f"  {name:<24} 127.0.0.1:{state.ports[port]:<6} {security:<9} (port {port} of {cluster.address})")
    print("Mailboxes:")
    for account in state.accounts:
        print(f"  {account.address:<24} password {account.password}")
    print(f"Certificate authority to trust: {shown(CA_FILE)}")
    print(f"A shell inside: ./run lab shell {NAME}/mail1    Stop: ./run demo stop")
    print("Watch it survive: ./run demo kill mail1    (or freeze, partition; move mail mail2; heal; status)")


def show_status(cluster: Cluster) -> None:
    """What an operator sees, and how much mail the load has sent."""
    print("\nposthouse cluster status:\n")
    print(textwrap.indent(cluster.answering().run("posthouse", "cluster", "status", check=False).stdout, "  "))
    with suppress(FileNotFoundError):
        load = json.loads(LOAD_FILE.read_text())
        print(f"The load so far: {load['accepted']} messages accepted, {load['changed']} changes confirmed.")


def start() -> None:
    """Boot a cluster, exchange a message, and leave it running under a small load."""
    state, lab = State.load(), running()
    if lab and state:
        print("The demo runs already.")
        tell(state, cluster_of(lab))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("Posthouse demo")
    lab = Lab.create(NAME)
    beside: list[Process] = []
    try:
        fence = FenceDevice(lab).start()  # the nodes' fences are read when they are set
        try:
            with lab.enter():
                cluster = Cluster.build(lab, fence, step=_step)
        finally:
            fence.stop()
        beside.append(background.switch(lab))
        accounts = tuple(Account(f"{name}@{DOMAIN}", secrets.token_urlsafe(12)) for name in ("alice", "bob"))
        people(cluster, accounts)
        load = People("load.test", secrets.token_urlsafe(12))
        with step(f"{len(load.all)} more mailboxes for a small load"):
            cluster.add_people(load.domain, load.all, load.password)
        copy_ca(cluster.nodes[0], CA_FILE)
        ports = background.forward(lab, PORTS)
        with lab.enter():
            beside.append(background.load(load))
        probe = Account(load.probe, load.password)
        state = State(cluster.nodes[0].hostname, ports, accounts, probe, tuple(beside))
        state.save()
        exchange(state)
    except BaseException as error:
        if lab.nodes and not getattr(error, "__notes__", None):
            error.add_note(next(iter(lab.nodes.values())).last_words(30))
        stop(lab, beside)
        raise
    show_status(cluster)
    tell(state, cluster)


def _step(title: str, action: Callable[[], object]) -> None:
    with step(title):
        action()


def people(cluster: Cluster, accounts: Sequence[Account]) -> None:
    """Create the demo's domain and mailboxes."""
    node = cluster.answering()
    with step(f"posthouse domain create {DOMAIN}"):
        create_domain(node, DOMAIN)
    for account in accounts:
        with step(f"posthouse mailbox create {account.address}"):
            create_mailbox(node, account.address, account.password)


def cluster_of(lab: Lab) -> Cluster:
    """The running demo's cluster."""
    return Cluster(lab, tuple(lab.nodes.values()), lab.disks["volume"], FenceDevice(lab))


def stop(lab: Lab, beside: Sequence[Process]) -> None:
    """End what runs beside, the forwarder and the lab; forget the passwords."""
    for process in beside:
        process.signal(signal.SIGTERM)
    if lab.owner != Process.of(os.getpid()):
        lab.owner.signal(signal.SIGTERM)
    lab.close()
    shutil.rmtree(FOLDER, ignore_errors=True)


def with_running(words: list[str]) -> int:
    """What needs a running demo."""
    lab, state = running(), State.load()
    if lab is None or state is None:
        print("The demo does not run.")
        return 0 if words == ["stop"] else 1
    if words == ["stop"]:
        stop(lab, state.beside)
        print("The demo is stopped; nothing of it is left.")
    elif words == ["status"]:
        show_status(cluster_of(lab))
    else:
        with lab.enter():
            blows.strike(cluster_of(lab), state, words)
    return 0


def main() -> int:
    """Return the exit status."""
    words = sys.argv[1:]
    try:
        if words:
            return with_running(words)
        start()
    except BrokenPipeError:
        return 1  # nobody listens any more
    except blows.Usage as error:
        print(error, file=sys.stderr)
        return 2
    except (LabError, NotHealthy, OSError, imaplib.IMAP4.error, poplib.error_proto) as error:
        print(f"\nThe demo failed: {type(error).__name__}: {error}", file=sys.stderr)
        print("\nThe node's last journal lines:", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
