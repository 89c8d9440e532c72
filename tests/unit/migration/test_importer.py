"""Bringing accounts in: every row ends somewhere, nothing stops half-way, a second run continues."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from appliance.directory import passwords
from appliance.directory.addresses import mailbox_address
from appliance.directory.model import NewMailbox
from appliance.errors import AlreadyExists, BadInput, NotFound, Unavailable
from appliance.migration.accounts import table
from appliance.migration.accounts.hashes import Password
from appliance.migration.accounts.importer import Importer, Wishes
from appliance.migration.accounts.outcome import Journal, Outcome
from appliance.migration.accounts.record import Account


@pytest.fixture(autouse=True)
def _numbered_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)
    monkeypatch.setattr(passwords, "generated", lambda: f"generated {next(numbers)}")


class Memory:
    """A destination in memory with the directory's rules that matter here."""

    def __init__(self) -> None:
        self.domains = {"example.com"}
        self.given: dict[str, Password | None] = {}
        self.mailboxes: dict[str, Password | None] = {}
        self.aliases: dict[str, frozenset[str]] = {}
        self.dies_at = ""

    def has_domain(self, domain: str) -> bool:
        if " " in domain or not domain:
            raise BadInput("domain", "bad-group-name", value=domain)
        return domain in self.domains

    def create_domain(self, domain: str) -> None:
        self.domains.add(domain)

    def has_mailbox(self, address: str) -> bool:
        return address.lower() in self.mailboxes

    def _free(self, address: str) -> None:
        if address.rpartition("@")[2] not in self.domains:
            raise NotFound("service-unknown", instance=address)
        if address.lower() in {*self.mailboxes, *self.aliases}:
            raise AlreadyExists("service-stopped", instance=address)

    def prepare(self, account: Account, password: Password | None) -> Callable[[], NewMailbox]:
        if password and password.clear == "short":
            raise BadInput("password", "bad-group-name", value="")
        self.given[account.address.lower()] = password
        return lambda: NewMailbox(mailbox_address(account.address), account.quota or 0)

    def create_mailbox(self, wanted: NewMailbox) -> None:
        address = str(wanted.address)
        if address == self.dies_at:
            raise Unavailable("store-unavailable")
        self._free(address)
        self.mailboxes[address] = self.given[address]

    def create_alias(self, address: str, targets: tuple[str, ...]) -> None:
        self._free(address)
        self.aliases[address.lower()] = frozenset(target.lower() for target in targets)

    def alias_covers(self, address: str, targets: tuple[str, ...]) -> bool:
        return self.aliases.get(address.lower(), frozenset()) >= {target.lower() for target in targets}


def bring(memory: Memory, report: Path, text: str, **wishes: bool) -> list[Outcome]:
    with Journal(report) as journal:
        outcomes = Importer(memory, journal, Wishes(**wishes)).bring(table.read(text.encode()).rows())
        return sorted(outcomes, key=lambda outcome: outcome.line)


def results(outcomes: list[Outcome]) -> list[tuple[int, str, str, str]]:
    return [(each.line, each.kind.value, each.address, each.result.value) for each in outcomes]


FILE = (
    "email,password,aliases,quota\n"
    "ann@example.com,correct horse,sales@example.com,1G\n"
    "bob@example.net,correct horse,,\n"
    "cem@example.com,,,\n"
    "dan@example.com,correct horse,sales@example.com,\n"
    "eve@example.com,correct horse,,much\n"
    "ANN@example.com,correct horse,,\n"
)


def test_every_row_ends_as_created_or_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    memory = Memory()
    assert results(bring(memory, tmp_path / "report.csv", FILE)) == [
        (2, "mailbox", "ann@example.com", "created"),
        (2, "alias", "sales@example.com", "created"),
        (3, "mailbox", "bob@example.net", "refused"),
        (4, "mailbox", "cem@example.com", "created"),
        (5, "mailbox", "dan@example.com", "created"),
        (5, "alias", "sales@example.com", "refused"),
        (6, "mailbox", "eve@example.com", "refused"),
        (7, "mailbox", "ANN@example.com", "refused"),
    ]
    assert memory.mailboxes["cem@example.com"] == Password(clear="generated 1")


def test_a_second_run_changes_nothing_and_says_exists(tmp_path: Path) -> None:
    memory = Memory()
    bring(memory, tmp_path / "report.csv", FILE)
    before = dict(memory.mailboxes), dict(memory.aliases)
    again = results(bring(memory, tmp_path / "report.csv", FILE))
    assert (memory.mailboxes, memory.aliases) == before
    assert [result for *_, result in again] == [
        "exists",
        "exists",
        "refused",
        "exists",
        "exists",
        "refused",
        "refused",
        "refused",
    ]


def test_the_report_tells_generated_passwords_to_its_owner_alone(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    bring(Memory(), report, FILE)
    assert report.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig"))))
    assert [row["password"] for row in rows if row["result"] == "created"] == ["", "", "generated 1", ""]
    assert rows[2]["reason"]
    assert list(tmp_path.iterdir()) == [report]


def test_the_report_can_be_json(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    bring(Memory(), report, FILE)
    rows = json.loads(report.read_text())
    assert rows[6]["reason"]["key"] == "migrate-bad-quota"
    assert rows[3]["password"] == "generated 1"


def test_a_password_generated_by_a_run_that_died_is_told_by_the_next(tmp_path: Path) -> None:
    memory, report = Memory(), tmp_path / "report.csv"
    memory.dies_at = "dan@example.com"
    with pytest.raises(Unavailable):
        bring(memory, report, FILE)
    assert not report.exists()
    assert (tmp_path / "report.csv.partial").stat().st_mode & 0o777 == 0o600
    memory.dies_at = ""
    bring(memory, report, FILE)
    rows = {row["address"]: row for row in csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig")))}
    assert rows["cem@example.com"]["result"] == "exists"
    assert rows["cem@example.com"]["password"] == "generated 1"
    assert rows["dan@example.com"]["result"] == "created"


def test_accounts_without_a_password_that_can_be_kept_are_skipped_when_asked(tmp_path: Path) -> None:
    memory = Memory()
    outcomes = bring(
        memory,
        tmp_path / "report.csv",
        "email,hash\na@example.com,{MD5}X03MO1qnZdYdgyfeuILPmQ==\n",
        skip_without_password=True,
    )
    assert results(outcomes) == [(2, "mailbox", "a@example.com", "skipped")]
    assert [note.key for note in outcomes[0].notes] == ["migrate-weak-hash"]
    assert not memory.mailboxes


def test_a_password_that_the_policy_refuses_is_replaced_and_the_reason_told(tmp_path: Path) -> None:
    memory = Memory()
    (outcome,) = bring(memory, tmp_path / "report.csv", "email,password\na@example.com,short\n")
    assert outcome.result.value == "created"
    assert outcome.password == "generated 1"
    assert [note.key for note in outcome.notes] == ["bad-group-name"]


def test_missing_domains_are_created_when_asked(tmp_path: Path) -> None:
    memory = Memory()
    outcomes = bring(memory, tmp_path / "report.csv", FILE, create_domains=True)
    assert (3, "domain", "example.net", "created") in results(outcomes)
    assert "bob@example.net" in memory.mailboxes


def test_a_cell_that_a_spreadsheet_would_run_is_made_inert(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    bring(Memory(), report, "email,aliases\nann@example.com,=HYPERLINK(1)@example.com\n")
    _, row = csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig")))
    assert row["address"].startswith("'=")
