"""The directory service against a real slapd with our configuration: life of accounts, guards, races, crashes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from appliance.directory import schema
from appliance.directory.addresses import any_address, domain_name, target_address
from appliance.directory.bulk import Row
from appliance.directory.connection import ChangedMeanwhile, Scope
from appliance.directory.domains import DomainInUse
from appliance.directory.model import AliasChange, DomainChange, MailboxChange, Status
from appliance.directory.service import DirectoryService
from appliance.errors import AlreadyExists, BadInput, NotFound
from tests.integration.slapd_server import HASH, SlapdServer, emptied, make, needs_slapd, running

GOOD = "korrekt pferd batterie"
pytestmark = needs_slapd()


@pytest.fixture(scope="module")
def server() -> Iterator[SlapdServer]:
    with running() as made:
        yield made


@pytest.fixture
def directory(server: SlapdServer) -> Iterator[DirectoryService]:
    with emptied(server) as opened:
        yield opened


@pytest.fixture
def example(directory: DirectoryService) -> str:
    directory.domains.create("example.com")
    return "example.com"


def test_a_domain_lives_from_creation_to_deletion(directory: DirectoryService) -> None:
    made = directory.domains.create("例子.中国", "first")
    assert directory.domains.find("xn--fsqu00a.xn--fiqs8s") == made
    changed = directory.domains.change(
        "例子.中国", DomainChange(status=Status.DISABLED, refuse_mail=True, description=None)
    )
    assert (changed.status, changed.refuse_mail, changed.description) == (Status.DISABLED, True, None)
    assert directory.domains.search("例子").domains == (changed,)
    assert directory.domains.search("fsqu").domains == (changed,)
    directory.domains.delete("例子.中国")
    with pytest.raises(NotFound, match=r"例子\.中国"):
        directory.domains.find("例子.中国")
    with pytest.raises(NotFound):
        directory.domains.delete("例子.中国")


def test_a_name_is_a_domain_or_a_domain_alias_but_never_both(directory: DirectoryService, example: str) -> None:
    alias = directory.domains.create_alias("example.net", example)
    assert directory.domains.find("example.net") == alias
    with pytest.raises(AlreadyExists):
        directory.domains.create("EXAMPLE.net")
    with pytest.raises(AlreadyExists):
        directory.domains.create_alias("example.net", example)
    with pytest.raises(NotFound):
        directory.domains.create_alias("example.org", "nowhere.example")
    with pytest.raises(NotFound):
        directory.domains.create_alias("example.org", "example.net")
    with pytest.raises(BadInput):
        directory.domains.create_alias(example, example)
    with pytest.raises(NotFound):
        make(directory, "alice@example.net")
    with pytest.raises(DomainInUse):
        directory.domains.delete(example)
    directory.domains.delete("example.net")
    directory.domains.delete(example)


def test_a_mailbox_lives_from_creation_to_deletion(directory: DirectoryService, example: str) -> None:
    wanted = directory.mailboxes.wanted("Alice@Example.com", password=GOOD, name="爱丽丝", quota=5, remark="note")
    made = directory.mailboxes.create(wanted)
    assert (made.address, made.name, made.quota, made.status) == ("alice@example.com", "爱丽丝", 5, Status.ACTIVE)
    assert directory.mailboxes.find("ALICE@EXAMPLE.COM") == made
    change = MailboxChange(quota=0, name=None, status=Status.DISABLED, refuse_mail=True)
    changed = directory.mailboxes.change("alice@example.com", change)
    assert (changed.quota, changed.name, changed.status, changed.refuse_mail) == (0, None, Status.DISABLED, True)
    gone = directory.mailboxes.delete("alice@example.com")
    assert (gone.id, gone.status) == (made.id, Status.DELETED)
    assert gone.deleted_at is not None
    with pytest.raises(NotFound):
        directory.mailboxes.find("alice@example.com")
    back = directory.mailboxes.restore("alice@example.com")
    assert back == changed, "everything is as before, also that it was disabled"


def test_new_mailboxes_take_the_default_quota_of_system_and_domain(
    server: SlapdServer, directory: DirectoryService
) -> None:
    with server.service({"mailbox.quota": json.dumps(7)}) as seven:
        seven.domains.create("seven.example")
        seven.domains.create("nine.example")
        seven.write_settings("domain", "nine.example", {"mailbox.quota": "9", "password.minimum_length": "20"})
        assert seven.mailboxes.wanted("a@seven.example").quota == 7
        assert seven.mailboxes.wanted("a@nine.example").quota == 9
        assert seven.mailboxes.wanted("a@nine.example", quota=0).quota == 0
        with pytest.raises(BadInput) as refusal:
            seven.mailboxes.wanted("a@nine.example", password="korrekt pferd")
        assert refusal.value.facts["minimum"] == 20


@pytest.mark.parametrize("quota", [-1, 1 << 51])
def test_an_impossible_quota_is_refused(directory: DirectoryService, example: str, quota: int) -> None:
    with pytest.raises(BadInput) as refusal:
        directory.mailboxes.wanted(f"alice@{example}", quota=quota)
    assert refusal.value.field == "quota"
    make(directory, f"alice@{example}")
    with pytest.raises(BadInput):
        directory.mailboxes.change(f"alice@{example}", MailboxChange(quota=quota))


def test_an_address_is_a_mailbox_or_an_alias_but_never_both(directory: DirectoryService, example: str) -> None:
    make(directory, "alice@example.com")
    with pytest.raises(AlreadyExists):
        make(directory, "ALICE@example.com")
    with pytest.raises(AlreadyExists):
        directory.aliases.create("alice@example.com", ["bob@example.org"])
    directory.aliases.create("sales@example.com", ["bob@example.org"])
    with pytest.raises(AlreadyExists):
        make(directory, "sales@example.com")
    with pytest.raises(NotFound):
        directory.mailboxes.find("sales@example.com")
    with pytest.raises(NotFound):
        directory.mailboxes.delete("sales@example.com")
    with pytest.raises(NotFound):
        directory.aliases.delete("alice@example.com")


def test_what_lies_in_no_domain_of_ours_is_refused_and_leaves_nothing(directory: DirectoryService) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.example"):
        make(directory, "alice@nowhere.example")
    with pytest.raises(NotFound, match=r"nowhere\.example"):
        directory.aliases.create("sales@nowhere.example", ["bob@example.org"])
    with pytest.raises(NotFound):
        list(directory.mailboxes.all("nowhere.example"))
    assert list(directory.mailboxes.all()) == []
    assert list(directory.domains.all()) == []


def test_a_password_is_stored_as_its_hash_and_read_by_nobody_here(
    server: SlapdServer, directory: DirectoryService, example: str
) -> None:
    directory.mailboxes.create(directory.mailboxes.wanted("alice@example.com", password=GOOD))
    with server.connection() as connection:
        before = connection.search(schema.DOMAINS, "(mail=alice@example.com)", attributes=(schema.PASSWORD,)).entries[0]
        assert str(before.text(schema.PASSWORD)).startswith("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")
        directory.mailboxes.set_password("alice@example.com", password_hash=HASH)
        after = connection.search(schema.DOMAINS, "(mail=alice@example.com)", attributes=(schema.PASSWORD,)).entries[0]
    assert after.text(schema.PASSWORD) == HASH
    with pytest.raises(BadInput):
        directory.mailboxes.set_password("alice@example.com", password="password")
    assert GOOD not in (server.folder / "log").read_text()


def test_a_renamed_mailbox_keeps_its_identity_and_frees_its_address(directory: DirectoryService, example: str) -> None:
    directory.domains.create("例子.中国")
    made = make(directory, "alice@例子.中国")
    assert made.logins == ("alice@例子.中国",)
    moved = directory.mailboxes.rename("alice@例子.中国", "Liddell@example.com")
    assert (moved.id, moved.path) == (made.id, made.path)
    assert (moved.address, moved.previous_address, moved.logins) == (
        "liddell@example.com",
        "alice@xn--fsqu00a.xn--fiqs8s",
        (),
    )
    again = make(directory, "alice@例子.中国")
    assert again.id != made.id
    with pytest.raises(AlreadyExists):
        directory.mailboxes.rename("liddell@example.com", "alice@例子.中国")
    with pytest.raises(NotFound):
        directory.mailboxes.rename("liddell@example.com", "alice@nowhere.example")
    assert directory.mailboxes.find("liddell@example.com") == moved, "a renaming that failed leaves no trace"


def test_an_alias_lives_from_creation_to_deletion(directory: DirectoryService, example: str) -> None:
    make(directory, "alice@example.com")
    made = directory.aliases.create("Sales@example.com", ["alice@example.com", "Bob@example.org", "alice@EXAMPLE.com"])
    assert made.targets == ("Bob@example.org", "alice@example.com")
    assert directory.aliases.pointing_to(any_address("alice@example.com")) == (made,)
    assert directory.aliases.unknown_targets(made) == ()
    added = AliasChange(add_targets=(target_address("carol@example.com"),))
    changed = directory.aliases.change("sales@example.com", added)
    assert directory.aliases.unknown_targets(changed) == ("carol@example.com",)
    with pytest.raises(AlreadyExists, match="carol"):
        directory.aliases.change("sales@example.com", added)
    with pytest.raises(NotFound, match="nobody"):
        directory.aliases.change(
            "sales@example.com", AliasChange(remove_targets=(target_address("nobody@example.com"),))
        )
    with pytest.raises(BadInput):
        directory.aliases.change(
            "sales@example.com", AliasChange(remove_targets=tuple(map(target_address, changed.targets)))
        )
    assert directory.aliases.find("sales@example.com") == changed
    everything = directory.aliases.create("@example.com", ["alice@example.com"])
    assert directory.aliases.unknown_targets(changed) == (), "the catch-all takes it"
    assert set(directory.aliases.all("example.com")) == {changed, everything}
    assert directory.aliases.delete("sales@example.com") == changed


@pytest.mark.parametrize(
    "targets", [[], ["self@example.com"], ["x"], [f"t{number}@example.org" for number in range(1001)]]
)
def test_an_alias_with_impossible_targets_is_refused(
    directory: DirectoryService, example: str, targets: list[str]
) -> None:
    with pytest.raises(BadInput) as refusal:
        directory.aliases.create("self@example.com", targets)
    assert refusal.value.field == "target"
    assert list(directory.aliases.all()) == []


def test_an_alias_whose_mail_would_come_back_to_it_is_refused(directory: DirectoryService, example: str) -> None:
    directory.aliases.create("one@example.com", ["two@example.com", "bob@example.org"])
    directory.aliases.create("two@example.com", ["three@example.com"])
    for address, target in (
        ("three@example.com", "one@example.com"),
        ("three@example.com", "ONE+list@example.com"),
        ("@example.com", "one@example.com"),
    ):
        with pytest.raises(BadInput) as refused:
            directory.aliases.create(address, ["bob@example.org", target])
        assert (refused.value.field, refused.value.key) == ("target", "alias-loops")
    directory.aliases.create("three@example.com", ["bob@example.org"])
    with pytest.raises(BadInput):
        directory.aliases.change("three@example.com", AliasChange(add_targets=(any_address("one@example.com"),)))
    assert directory.aliases.find("three@example.com").targets == ("bob@example.org",)
    directory.aliases.create("@example.com", ["one@example.com"])


def test_a_domain_with_mailboxes_is_deleted_only_on_demand_and_its_mail_can_come_back(
    directory: DirectoryService, example: str
) -> None:
    made = make(directory, "alice@example.com")
    directory.aliases.create("sales@example.com", ["alice@example.com"])
    directory.domains.create_alias("example.net", example)
    with pytest.raises(DomainInUse):
        directory.domains.delete(example)
    directory.delete_domain(example)
    assert list(directory.domains.all()) == []
    with pytest.raises(NotFound, match=r"example\.com"):
        directory.mailboxes.restore("alice@example.com")
    directory.domains.create(example)
    assert directory.mailboxes.restore("alice@example.com") == made


def test_pages_give_all_in_the_directorys_own_order(
    server: SlapdServer, directory: DirectoryService, example: str
) -> None:
    directory.domains.create("example.org")
    rows = [Row(n, f"m{n:04}@example.{'com' if n % 2 else 'org'}", password_hash=HASH) for n in range(130)]
    assert [outcome.error for outcome in directory.create_mailboxes(rows)] == [None] * 130
    with server.connection() as connection:
        asked = (schema.DOMAINS, f"({schema.MAIL}=*)", Scope.SUBTREE, (schema.MAIL,))
        assert [len(page) for page in connection.pages(*asked, size=60)] == [60, 60, 10]
        assert [len(page) for page in connection.pages(*asked)] == [50, 80]
    everybody = [mailbox.address for mailbox in directory.mailboxes.all()]
    assert sorted(everybody) == [row.address for row in rows]
    assert [mailbox.address for mailbox in directory.mailboxes.all(page=40)] == everybody
    here = [mailbox.address for mailbox in directory.mailboxes.all(example)]
    assert here == [address for address in everybody if address.endswith(example)]
    assert directory.domains.count(domain_name(example), schema.MAILBOX, at_most=10).exact is False
    assert directory.domains.count(domain_name(example), schema.MAILBOX).number == 65
    found = directory.mailboxes.search("m00", limit=10)
    assert (len(found.mailboxes), found.complete) == (10, False)
    assert directory.mailboxes.search("m0001").mailboxes[0].address == "m0001@example.com"
    assert directory.mailboxes.search("m0001", "example.org").mailboxes == ()


def test_a_refused_row_harms_no_other(directory: DirectoryService, example: str) -> None:
    make(directory, "taken@example.com")
    rows = [
        Row(2, "a@example.com", password=GOOD, quota="5G", name="Å"),
        Row(3, "a@example.com", password_hash=HASH),
        Row(4, "taken@example.com", password_hash=HASH),
        Row(5, "b@nowhere.example", password_hash=HASH),
        Row(6, "root@example.com", password_hash=HASH),
        Row(7, "c@example.com", password="weak"),
        Row(8, "d@example.com", quota="much"),
        Row(9, "e@example.com"),
    ]
    outcomes = {outcome.row.line: outcome.error for outcome in directory.create_mailboxes(rows)}
    assert {line: type(error).__name__ for line, error in outcomes.items() if error} == {
        3: "AlreadyExists",
        4: "AlreadyExists",
        5: "NotFound",
        6: "BadInput",
        7: "BadInput",
        8: "BadInput",
    }
    assert set(outcomes) == set(range(2, 10))
    assert {box.address for box in directory.mailboxes.all()} == {"taken@example.com", "a@example.com", "e@example.com"}
    assert directory.mailboxes.find("e@example.com").has_password is False


def test_settings_of_a_domain_and_a_mailbox_are_kept_and_the_quota_is_one_fact(
    directory: DirectoryService, example: str
) -> None:
    make(directory, "alice@example.com")
    assert directory.settings_of("domain", example) == {}
    directory.write_settings("domain", example, {"mailbox.language": '"ja"', "mailbox.quota": "7"})
    assert directory.settings_of("domain", "EXAMPLE.com") == {"mailbox.language": '"ja"', "mailbox.quota": "7"}
    before = directory.settings_of("mailbox", "alice@example.com")
    directory.write_settings("mailbox", "alice@example.com", {**before, "mailbox.quota": "8"})
    assert directory.mailboxes.find("alice@example.com").quota == 8
    directory.mailboxes.change("alice@example.com", MailboxChange(quota=9))
    assert directory.settings_of("mailbox", "alice@example.com") == {"mailbox.quota": "9"}
    with pytest.raises(NotFound):
        directory.settings_of("mailbox", "nobody@example.com")
    with pytest.raises(NotFound):
        directory.settings_of("domain", "nowhere.example")


def test_two_writers_of_one_setting_do_not_undo_each_other(
    server: SlapdServer, directory: DirectoryService, example: str
) -> None:
    with server.service() as other:
        mine, theirs = directory.settings_of("domain", example), other.settings_of("domain", example)
        other.write_settings("domain", example, {**theirs, "mailbox.language": '"ja"'})
        directory.write_settings("domain", example, {**mine, "mailbox.quota": "7"})
        assert other.settings_of("domain", example) == {"mailbox.language": '"ja"', "mailbox.quota": "7"}
        mine = directory.settings_of("domain", example)
        other.write_settings("domain", example, {**mine, "mailbox.quota": "8"})
        with pytest.raises(ChangedMeanwhile):
            directory.write_settings("domain", example, {**mine, "mailbox.quota": "9"})
        assert other.settings_of("domain", example)["mailbox.quota"] == "8"
