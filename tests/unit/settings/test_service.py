"""Setting and resetting: what is refused, what is guarded, what accounts get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.settings.layers import SYSTEM, Owner
from appliance.settings.parameter import Scope
from appliance.settings.service import ChangedMeanwhile, SettingsService, owners_of
from appliance.settings.surroundings import refuse_above_free_space
from tests.unit.settings.memory_store import MemoryStore

GROUP = Owner(Scope.GROUP, "mail")
NODE = Owner(Scope.NODE, "n1")
DOMAIN = Owner(Scope.DOMAIN, "example.com")


class Accounts:
    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, str]] = {("domain", "example.com"): {}}

    def settings_of(self, scope: str, owner: str) -> dict[str, str]:
        if (scope, owner) not in self.stored:
            raise NotFound("setting-no-owner", field=scope, scope=scope, name=owner)
        return dict(self.stored[scope, owner])

    def write_settings(self, scope: str, owner: str, settings: dict[str, str]) -> None:
        self.stored[scope, owner] = dict(settings)


@contextmanager
def refused(error: type[PosthouseError], key: str) -> Iterator[None]:
    with pytest.raises(error) as raised:
        yield
    assert raised.value.key == key


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    made.put(keys.node(NodeName("n1")), "{}")
    made.put(keys.group(GroupName("mail")), "{}")
    return made


@pytest.fixture
def service(store: MemoryStore) -> SettingsService:
    return SettingsService(store, Accounts())


def test_a_set_value_is_stored_as_json_and_read_back_with_its_origin(
    store: MemoryStore, service: SettingsService
) -> None:
    change = service.set("smtp.message_size_limit", "25M", GROUP)
    assert (change.before, change.after, change.changed) == (None, "26214400", True)
    assert store.records[keys.setting("group", "mail", "smtp.message_size_limit")].value == "26214400"
    reading = service.reading("smtp.message_size_limit", (SYSTEM, GROUP))
    assert reading.effective.value == 25 * 2**20
    assert reading.effective.origin == GROUP
    assert reading.layers == ((SYSTEM, None), (GROUP, "26214400"))


def test_setting_the_same_value_again_writes_nothing(store: MemoryStore, service: SettingsService) -> None:
    service.set("imap.process_limit", "500")
    revision = store.revision
    assert not service.set("imap.process_limit", "500").changed
    assert store.revision == revision


def test_reset_brings_back_the_value_of_the_layer_above(service: SettingsService) -> None:
    service.set("imap.process_limit", "500")
    service.set("imap.process_limit", "700", NODE)
    change = service.reset("imap.process_limit", NODE)
    assert (change.effective.value, change.effective.origin) == (500, SYSTEM)
    assert not service.reset("imap.process_limit", NODE).changed


def test_owners_that_do_not_exist_are_refused(service: SettingsService) -> None:
    for owner, name in (
        (Owner(Scope.NODE, "n9"), "smtp.process_limit"),
        (Owner(Scope.GROUP, "other"), "smtp.process_limit"),
        (Owner(Scope.DOMAIN, "example.net"), "mailbox.quota"),
    ):
        with refused(NotFound, "setting-no-owner"):
            service.set(name, "70", owner)


def test_a_scope_that_the_parameter_does_not_have_is_refused(service: SettingsService) -> None:
    with refused(BadInput, "setting-wrong-scope"):
        service.set("mailbox.quota", "1G", GROUP)


def test_a_rule_is_checked_over_every_place_that_inherits(service: SettingsService) -> None:
    service.set("smtp.queue_lifetime", "10d", NODE)
    service.set("smtp.bounce_lifetime", "7d", NODE)
    with refused(BadInput, "settings-bounces-outlive-mail"):
        service.set("smtp.queue_lifetime", "6d", NODE)
    with refused(BadInput, "settings-bounces-outlive-mail"):
        service.set("smtp.queue_lifetime", "6d", GROUP)
    with refused(BadInput, "settings-bounces-outlive-mail"):
        service.reset("smtp.queue_lifetime", NODE)


def test_what_was_broken_already_does_not_stop_an_improvement(store: MemoryStore, service: SettingsService) -> None:
    store.put(keys.setting("node", "n1", "smtp.process_limit"), "10")
    assert service.set("smtp.process_limit", "20", NODE).changed


def test_another_writer_in_between_makes_the_check_run_again(store: MemoryStore, service: SettingsService) -> None:
    service.set("smtp.queue_lifetime", "10d")

    def another_writer() -> None:
        SettingsService(store).set("smtp.queue_lifetime", "6d")

    store.before_transaction = another_writer
    with refused(BadInput, "settings-bounces-outlive-mail"):
        service.set("smtp.bounce_lifetime", "7d", NODE)


def test_endless_interference_ends_in_a_clear_error(store: MemoryStore, service: SettingsService) -> None:
    def interfere() -> None:
        store.put(keys.SETTINGS + "changes", str(store.revision))
        store.before_transaction = interfere

    store.before_transaction = interfere
    with refused(ChangedMeanwhile, "setting-changed-meanwhile"):
        service.set("imap.process_limit", "500")


def test_a_domains_value_goes_to_the_directory_and_inherits_from_the_system(service: SettingsService) -> None:
    service.set("mailbox.quota", "2G")
    chain = owners_of(domain="example.com")
    assert service.reading("mailbox.quota", chain).effective.origin == SYSTEM
    service.set("mailbox.quota", "3G", DOMAIN)
    reading = service.reading("mailbox.quota", chain)
    assert (reading.effective.value, reading.effective.origin) == (3 * 2**30, DOMAIN)
    assert service.reset("mailbox.quota", DOMAIN).effective.value == 2 * 2**30


def test_a_mailbox_stands_below_its_domain() -> None:
    assert [owner.scope for owner in owners_of(mailbox="alice@example.com")] == ["system", "domain", "mailbox"]
    assert owners_of(mailbox="alice@example.com")[1] == DOMAIN


def test_nodes_and_accounts_cannot_be_mixed_and_names_are_checked() -> None:
    with refused(BadInput, "setting-mixed-owners"):
        owners_of(node="n1", domain="example.com")
    with refused(BadInput, "bad-node-name"):
        owners_of(node="../n1")
    with refused(BadInput, "bad-group-name"):
        owners_of(group="mail/x")


def test_every_parameter_is_listed(service: SettingsService) -> None:
    readings = service.readings((SYSTEM, NODE, GROUP))
    assert {"smtp.message_size_limit", "mailbox.quota"} <= {reading.parameter.name for reading in readings}


def test_a_size_limit_that_would_stop_all_mail_is_refused() -> None:
    refuse_above_free_space(100, "100", "/srv", 150)
    with refused(BadInput, "setting-above-free-space"):
        refuse_above_free_space(100, "100", "/srv", 149)
