"""Limits of connections and processes, set as an operator sets them and felt as clients feel them.

On a node of its own: at a limit nobody else is served, health probes included.
"""

from __future__ import annotations

import imaplib
import poplib
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Any, Final, Self

import pytest

from tests.integration.mail_clients import TIMEOUT, Account, MailNode, Wire, mail_node, mark, send
from tests.lab import Lab, Node
from tests.lab.appliance import copy_ca, initialise, status, wait_healthy
from tests.lab.network import LAB_ADDRESS
from tests.lab.polling import wait_until

#: Long enough for a server that would answer, short enough to wait for one that does not.
_SILENCE: Final = 1.5


@pytest.fixture(scope="module")
def limited_node(lab: Lab) -> Iterator[Node]:
    made = lab.node("limits").boot()
    try:
        initialise(made)
        yield made
    finally:
        lab.remove_node(made)


@pytest.fixture(scope="module")
def mail(limited_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailNode]:
    ca_file = copy_ca(limited_node, tmp_path_factory.mktemp("pki") / "ca.crt")
    with mail_node(limited_node, ca_file, "limits.test") as made:
        yield made


@pytest.fixture(scope="module")
def people(mail: MailNode) -> list[Account]:
    return [mail.mailbox(name) for name in ("anna", "boris", "chen", "dora")]


@contextmanager
def settings(node: Node, values: Mapping[str, int]) -> Iterator[None]:
    """Set parameters for the block; afterwards they are as before, and the node is healthy.

    They count some seconds later: tests ask until they do.
    """
    try:
        for name, value in values.items():
            node.run("posthouse", "settings", "set", name, str(value))
        yield
    finally:
        for name in reversed(list(values)):
            node.run("posthouse", "settings", "reset", name)
        wait_healthy(node)


# -- one person's connections (S32, S36) -------------------------------------------------------------------------


def signed_in(mail: MailNode, account: Account) -> imaplib.IMAP4_SSL:
    """A session; the connection is closed when signing in fails."""
    client = mail.imap()
    try:
        client.login(account.address, account.password)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def imap(mail: MailNode, account: Account) -> Callable[[], Any]:
    """Sign in; what ends the session."""
    return signed_in(mail, account).logout


def pop3(mail: MailNode, account: Account) -> Callable[[], Any]:
    """Sign in; what ends the session."""
    client = poplib.POP3_SSL(mail.node.address, 995, context=mail.context, timeout=TIMEOUT)
    try:
        client.user(account.address)
        client.pass_(account.password)
    except poplib.error_proto:
        client.close()
        raise
    return client.quit


REFUSED: Final = (imaplib.IMAP4.error, poplib.error_proto)


def refusal(mail: MailNode, login: Callable[[MailNode, Account], Callable[[], Any]], account: Account) -> str:
    """What a login is refused with; empty when it is not."""
    try:
        login(mail, account)()
    except REFUSED as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("section", "login"), [("imap", imap), ("pop3", pop3)])
def test_one_connection_too_many_of_one_person_is_refused_and_nobody_elses(
    mail: MailNode,
    people: list[Account],
    section: str,
    login: Callable[[MailNode, Account], Callable[[], Any]],
) -> None:
    anna, boris, *_ = people

    def told_the_third() -> str:
        with ExitStack() as sessions:
            try:
                for _ in range(2):
                    sessions.callback(login(mail, anna))
            except REFUSED:  # it reloads
                return ""
            return refusal(mail, login, anna)

    with settings(mail.node, {f"{section}.max_connections_per_user_ip": 2}):
        wanted = "Maximum number of connections from user+IP exceeded"
        mail.node.wait_until("the third refused", lambda: wanted in told_the_third())
        with ExitStack() as sessions:
            first = login(mail, anna)
            sessions.callback(login(mail, anna))
            assert refusal(mail, login, boris) == ""
            first()
            mail.node.wait_until("room after one has left", lambda: refusal(mail, login, anna) == "")


# -- processes of each service (H08) -----------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "login"), [("imap", imap), ("pop3", pop3)])
def test_no_more_sessions_than_processes(
    mail: MailNode,
    people: list[Account],
    section: str,
    login: Callable[[MailNode, Account], Callable[[], Any]],
) -> None:
    anna, boris, chen, *_ = people
    # one person may not have more connections than there are processes
    with settings(mail.node, {f"{section}.max_connections_per_user_ip": 2, f"{section}.process_limit": 2}):

        def third_is_turned_away() -> bool:
            with ExitStack() as sessions:
                try:
                    for account in (anna, boris):
                        sessions.callback(login(mail, account))
                except REFUSED:  # it reloads
                    return False
                return refusal(mail, login, chen) != ""

        mail.node.wait_until("the third turned away", third_is_turned_away, timeout=60.0)
        mail.node.wait_until("room after they have left", lambda: refusal(mail, login, chen) == "")


#: Runs on the node until its standard input ends: as many deliveries as there may be, and a crowd at every port of
#: Postfix. Postfix hangs up on idle clients after 10 s when it is under stress (STRESS_README); the next one waits.
CROWD: Final = """
import socket, sys, threading

def stay(port):
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as each:
                while each.recv(1024):
                    pass
        except OSError:
            pass

for port in (25, 465, 587, 10025):
    for _ in range(6):
        threading.Thread(target=stay, args=(port,), daemon=True).start()
held = []
for _ in range(2):
    lmtp = socket.socket(socket.AF_UNIX)
    lmtp.connect("/run/posthouse/mail/dovecot/lmtp")
    assert lmtp.recv(3) == b"220"
    held.append(lmtp)
print("there", flush=True)
sys.stdin.read()
"""

#: Two processes for everything; one client may not have more connections than there are processes.
TWO_OF_EACH: Final = {
    "imap.max_connections_per_user_ip": 2,
    "imap.process_limit": 2,
    "pop3.max_connections_per_user_ip": 2,
    "pop3.process_limit": 2,
    "lmtp.concurrency": 2,
    "lmtp.process_limit": 2,
    "smtp.client_connection_limit": 2,
    "smtp.process_limit": 2,
    "smtp.submission_process_limit": 2,
}
UNITS: Final = ("posthouse-dovecot@mail.service", "posthouse-postfix@mail.service")


def overloads(node: Node) -> dict[str, str]:
    """Which probes find every process busy, by the setting of the limit."""
    probes = [probe for instance in status(node)["instances"] for probe in instance["probes"]]
    problems = {probe["name"]: probe["problem"] for probe in probes if probe["problem"]}
    return {name: it["facts"]["setting"] for name, it in problems.items() if it["key"] == "probe-overloaded"}


def test_people_who_are_signed_in_stay_so_while_every_process_is_busy(mail: MailNode, people: list[Account]) -> None:
    """Probes that find every process busy say so; nothing is restarted for it."""
    anna, boris, *_ = people
    with settings(mail.node, TWO_OF_EACH), ExitStack() as stack:
        mail.node.wait_until("the limits count", lambda: limits_in_force(mail.node) == {"2"})
        mail.node.wait_until("the last of them counts", lambda: third_waits(mail, 587))
        begun = [started(mail.node, unit) for unit in UNITS]
        sessions = [signed_in(mail, each) for each in (anna, boris)]
        for each in sessions:
            stack.callback(each.shutdown)
        for account in (anna, boris):
            stack.callback(pop3(mail, account))
        crowd = stack.enter_context(mail.node.popen("/opt/posthouse/bin/python3", "-I", "-c", CROWD, stdin=PIPE))
        assert crowd.stdout is not None
        assert crowd.stdin is not None
        stack.callback(crowd.stdin.close)
        assert crowd.stdout.readline().strip() == "there"

        wanted = {
            "imap-login": "imap.process_limit",
            "pop3-login": "pop3.process_limit",
            "lmtp": "lmtp.process_limit",
            "smtp": "smtp.process_limit",
            "submission": "smtp.submission_process_limit",
            "submissions": "smtp.submission_process_limit",
            "reentry": "smtp.process_limit",
        }
        mail.node.wait_until("all overloaded", lambda: overloads(mail.node) == wanted, timeout=60.0, every=1.0)
        assert {i["state"] for i in status(mail.node)["instances"] if i["probes"]} >= {"overloaded"}
        said = mail.node.run("posthouse", "status", check=False)
        assert said.returncode == 1
        assert "all 2 processes of imap are busy" in said.stdout
        with pytest.raises(TimeoutError):
            wait_until("signed out", lambda: not all(_alive(each) for each in sessions), timeout=30.0, every=1.0)
        assert [started(mail.node, unit) for unit in UNITS] == begun


def limits_in_force(node: Node) -> set[str]:
    """The limits of processes that the running masters know."""
    dovecot = ("doveadm", "-c", "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf", "service", "status")
    said = node.run(*dovecot, "imap", "pop3", "lmtp", check=False).stdout
    return {line.partition(": ")[2] for line in said.splitlines() if line.startswith("process_limit")}


def started(node: Node, unit: str) -> str:
    """When the unit's main process was started."""
    return node.run("systemctl", "show", "--value", "--property=ExecMainStartTimestampMonotonic", unit).stdout.strip()


def _alive(session: imaplib.IMAP4_SSL) -> bool:
    try:
        return session.noop()[0] == "OK"
    except imaplib.IMAP4.abort:
        return False


@dataclass
class Visitor:
    """A client that connects and waits for what the server says first."""

    wire: Wire

    def greeted(self, within: float = 20.0) -> str:
        """The greeting; empty when none comes in time."""
        self.wire.socket.settimeout(within)
        try:
            return self.wire.reply()
        except TimeoutError:
            return ""


@pytest.mark.parametrize(
    ("port", "limits"),
    [
        # one client may not have more connections than there are processes
        (25, {"smtp.client_connection_limit": 2, "smtp.process_limit": 2}),
        (587, {"smtp.submission_process_limit": 2}),
    ],
)
def test_no_more_sessions_of_smtp_than_processes(mail: MailNode, port: int, limits: Mapping[str, int]) -> None:
    with settings(mail.node, limits):
        mail.node.wait_until("the third waits", lambda: third_waits(mail, port))
        with Wire(mail.node.address, port) as next_one:
            assert Visitor(next_one).greeted().startswith("220")


def third_waits(mail: MailNode, port: int) -> bool:
    """Whether a third client at the same time is not greeted, although two are.

    Who comes while Postfix reloads can hold up the next until it leaves: then it is asked again.
    """
    with ExitStack() as stack:
        busy = [Visitor(stack.enter_context(Wire(mail.node.address, port))) for _ in range(2)]
        if not all(each.greeted(5.0).startswith("220") for each in busy):
            return False
        third = Visitor(stack.enter_context(Wire(mail.node.address, port)))
        return third.greeted(_SILENCE) == ""


def test_one_client_has_no_more_connections_to_port_25_than_it_may(mail: MailNode) -> None:
    with settings(mail.node, {"smtp.client_connection_limit": 2}):

        def greetings() -> list[str]:
            with ExitStack() as stack:
                wires = [stack.enter_context(Wire(mail.node.address, 25)) for _ in range(3)]
                return [Visitor(wire).greeted() for wire in wires]

        # which of them is the third is the server's to say
        expected = ["220 limit", "220 limit", "421 4.7.0"]
        mail.node.wait_until("one refused", lambda: sorted(each[:9] for each in greetings()) == expected)


@dataclass
class Slow:
    """A mail server of the outside world that answers DATA only when it is let go, and counts who waits."""

    extensions = ("8BITMIME",)
    waiting: int = 0
    most: int = 0
    taken: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: socketserver.ThreadingTCPServer | None = None

    def __enter__(self) -> Self:
        slow = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                slow.serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((LAB_ADDRESS, 25), Session)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, read: Any, write: Any) -> None:
        write.write(b"220 slow.example.net ESMTP\r\n")
        for line in read:
            command = line[:4].upper()
            if command == b"DATA":
                self.wait()
                write.write(b"354 go on\r\n")
                while read.readline() != b".\r\n":
                    pass
                with self._lock:
                    self.taken += 1
                write.write(b"250 2.0.0 taken\r\n")
                return  # a connection that is kept would meet the next test
            if command == b"QUIT":
                write.write(b"221 2.0.0 bye\r\n")
                return
            write.write(b"250 2.1.0 ok\r\n")

    def wait(self) -> None:
        with self._lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        self.go_on.wait(60)
        with self._lock:
            self.waiting -= 1


def flushed(mail: MailNode) -> bool:
    """Have everything tried at once; never what is waited for."""
    mail.node.run("posthouse", "queue", "flush")
    return False


def most_at_once(mail: MailNode, sender: Account) -> int:
    """How many of six messages for one slow server are on their way to it at the same time."""
    with Slow() as slow:
        for _ in range(6):
            with mail.submission(sender) as client:
                send(client, sender.address, f"somebody@[{LAB_ADDRESS}]", mark())
        # Postfix may hold the destination for dead since the last slow server ended; an operator would flush
        mail.node.wait_until("two at once", lambda: slow.waiting >= 2 or flushed(mail), timeout=60.0, every=1.0)
        with suppress(TimeoutError):
            wait_until("a third", lambda: slow.waiting > 2, timeout=_SILENCE)
        slow.go_on.set()
        # a reload in between leaves some of them for the next look at the queue
        mail.node.wait_until("all six there", lambda: slow.taken == 6, timeout=120.0)
        return slow.most


@pytest.mark.parametrize("limit", ["smtp.destination_concurrency", "smtp.outbound_process_limit"])
def test_no_more_connections_go_out_than_the_limit(mail: MailNode, people: list[Account], limit: str) -> None:
    anna = people[0]
    mail.node.wait_until("no limit", lambda: most_at_once(mail, anna) > 2, timeout=60.0)
    with settings(mail.node, {limit: 2}):
        mail.node.wait_until("the limit counts", lambda: most_at_once(mail, anna) == 2, timeout=60.0)
