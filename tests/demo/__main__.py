"""`./run demo` starts the demo and tells what it did; `./run demo stop` ends it. Called by ./run, as root."""

from __future__ import annotations

import imaplib
import json
import os
import poplib
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from functools import partial

from tests.demo import clients
from tests.demo.clients import Account
from tests.demo.state import CA_FILE, FOLDER, NAME, State, shown
from tests.lab import Lab, LabError, Node, wait_until
from tests.lab.appliance import NotHealthy, copy_ca, create_domain, create_mailbox, initialise
from tests.lab.forward import Forward
from tests.lab.host import Process

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


def forward(lab: Lab, node: Node) -> dict[int, int]:
    """Start the process that forwards ports; the lab lives as long as it does. Return node port -> host port."""
    wanted = [str(Forward(host, node.address, port)) for port, host in PORTS.items()]
    with (FOLDER / "forward.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.forward", lab.namespace, *wanted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    owner = Process.of(process.pid)
    if not line or owner is None:
        raise LabError(f"forwarding ports failed: {(FOLDER / 'forward.log').read_text()}")
    lab.hand_over(owner)
    return {int(port): host for port, host in json.loads(line).items()}


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


def tell(state: State) -> None:
    """Say how to use the running demo."""
    print(f"\nIt keeps running. From this machine (server name {state.hostname}):")
    for name, port, security in SERVICES:
        print(f"  {name:<24} 127.0.0.1:{state.ports[port]:<6} {security:<9} (port {port} of the node)")
    print("Mailboxes:")
    for account in state.accounts:
        print(f"  {account.address:<24} password {account.password}")
    print(f"Certificate authority to trust: {shown(CA_FILE)}")
    print(f"A shell inside: ./run lab shell {NAME}/mail1    Stop: ./run demo stop")


def start() -> None:
    """Boot, initialise, exchange a message, and leave it running."""
    state = State.load()
    if running() and state:
        print("The demo runs already.")
        tell(state)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("Posthouse demo")
    lab = Lab.create(NAME)
    node = None
    try:
        node = lab.node("mail1")
        with step("booting the root filesystem with systemd"):
            node.boot()
        with step("posthouse init"):
            initialise(node)
        accounts = tuple(Account(f"{name}@{DOMAIN}", secrets.token_urlsafe(12)) for name in ("alice", "bob"))
        with step(f"posthouse domain create {DOMAIN}"):
            create_domain(node, DOMAIN)
        for account in accounts:
            with step(f"posthouse mailbox create {account.address}"):
                create_mailbox(node, account.address, account.password)
        copy_ca(node, CA_FILE)
        state = State(node.hostname, forward(lab, node), accounts)
        state.save()
        exchange(state)
    except BaseException as error:
        if node and not getattr(error, "__notes__", None):
            error.add_note(node.last_words(30))
        stop(lab)
        raise
    tell(state)


def stop(lab: Lab) -> None:
    """End the forwarder and the lab, forget the passwords."""
    if lab.owner != Process.of(os.getpid()):
        lab.owner.signal(signal.SIGTERM)
    lab.close()
    shutil.rmtree(FOLDER, ignore_errors=True)


def main() -> int:
    """Return the exit status."""
    words = sys.argv[1:]
    if words not in ([], ["stop"]):
        print("usage: ./run demo [stop]", file=sys.stderr)
        return 2
    if words == ["stop"]:
        lab = running()
        if lab is None:
            print("The demo does not run.")
            return 0
        stop(lab)
        print("The demo is stopped; nothing of it is left.")
        return 0
    try:
        start()
    except BrokenPipeError:
        return 1  # nobody listens any more
    except (LabError, NotHealthy, OSError, imaplib.IMAP4.error, poplib.error_proto) as error:
        print(f"\nThe demo failed: {type(error).__name__}: {error}", file=sys.stderr)
        print("\nThe node's last journal lines:", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
