"""`posthouse settings` against a real store: what a person types, what agents get, what writers at once may do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from click.testing import CliRunner

from appliance import paths
from appliance.cli import settings as command
from appliance.cluster import keys
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import Delete, Guard, Outcome, Put
from appliance.directory.service import DirectoryService
from appliance.errors import BadInput, NotFound, PosthouseError
from appliance.settings.layers import EffectiveSettings, Owner, engine_settings
from appliance.settings.parameter import Scope
from appliance.settings.service import SettingsService
from tests.integration.etcd_server import EtcdServer, make_keys, wait_until_ready
from tests.integration.slapd_server import SlapdServer
from tests.lab import LabError, rootfs

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="needs Debian's etcd-server")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    pki = tmp_path_factory.mktemp("pki")
    make_keys(pki)
    made = EtcdServer(tmp_path_factory.mktemp("data"), pki)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(server: EtcdServer) -> Iterator[EtcdStore]:
    with server.store() as opened:
        assert isinstance(opened, EtcdStore)
        wait_until_ready(opened)
        for record in opened.list(keys.PREFIX)[0]:
            opened.delete(record.key)
        opened.put(keys.node(NodeName("n1")), "{}")
        opened.put(keys.group(GroupName("mail")), "{}")
        yield opened


@pytest.fixture
def run(server: EtcdServer, store: EtcdStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `posthouse settings …`; an expected error is raised, anything else fails the test."""
    monkeypatch.setattr(command, "connect", server.store)
    monkeypatch.setattr(paths, "VOLUMES", tmp_path)
    monkeypatch.setenv("POSTHOUSE_LANG", "en")

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(command.settings, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.output

    return invoke


def agents_view(store: EtcdStore) -> EffectiveSettings:
    return engine_settings(store.list(keys.SETTINGS)[0], NodeName("n1"), GroupName("mail"))


def test_what_a_person_sets_is_what_the_agent_gets(run: Run, store: EtcdStore) -> None:
    said = run("set", "smtp.message_size_limit", "25M")
    assert said.startswith("smtp.message_size_limit is now 25M for: system.")
    assert agents_view(store)["smtp.message_size_limit"] == 25 * 2**20
    run("set", "smtp.message_size_limit", "30M", "--group", "mail")
    assert agents_view(store)["smtp.message_size_limit"] == 30 * 2**20
    assert "In effect now: 25M (system)" in run("reset", "smtp.message_size_limit", "--group", "mail")
    assert agents_view(store)["smtp.message_size_limit"] == 25 * 2**20


def test_show_tells_meaning_bounds_and_the_value_of_each_layer(run: Run) -> None:
    run("set", "imap.process_limit", "300")
    run("set", "imap.process_limit", "400", "--node", "n1")
    shown = run("show", "imap.process_limit", "--node", "n1", "--group", "mail")
    for part in ("IMAP sessions", "1..100000", "1024 processes", "300 processes", "group mail", "not set"):
        assert part in shown
    assert "400 processes (node n1)" in shown
    data = json.loads(run("show", "imap.process_limit", "--node", "n1", "--json"))
    assert (data["value"], data["default"], data["origin"]) == (400, 1024, {"scope": "node", "name": "n1"})


def test_list_shows_a_section_or_only_what_was_changed(run: Run) -> None:
    assert len(json.loads(run("list", "--json"))) > 40
    names = {row["name"].partition(".")[0] for row in json.loads(run("list", "--section", "tls", "--json"))}
    assert names == {"tls"}
    assert "Nothing to show." in run("list", "--changed")
    run("set", "tls.minimum_protocol", "tlsv1.3")
    changed = run("list", "--changed")
    assert "tls.minimum_protocol" in changed
    assert "TLSv1.3" in changed
    assert "smtp." not in changed
    scopes = json.loads(run("list", "--scope", "mailbox", "--json"))
    assert "mailbox.quota" in {row["name"] for row in scopes}


@pytest.mark.parametrize(
    ("arguments", "error", "key"),
    [
        (("set", "smtp.message_size_limit", "1K"), BadInput, "setting-too-small"),
        (("set", "smtp.message_size_limit", "-5"), BadInput, "setting-not-size"),
        (("set", "smtp.mynetworks", "0.0.0.1/0"), BadInput, "setting-not-network"),
        (("set", "mailbox.quota", "1G", "--group", "mail"), BadInput, "setting-wrong-scope"),
        (("set", "smtp.queue_lifetime", "1d"), BadInput, "settings-bounces-outlive-mail"),
        (("set", "smtp.process_limit", "60", "--node", "n1", "--group", "mail"), BadInput, "setting-one-owner"),
        (("set", "smtp.process_limit", "60", "--node", "n7"), NotFound, "setting-no-owner"),
        (("set", "smtp.procss_limit", "60"), NotFound, "setting-unknown-nearest"),
        (("show", "nonsense"), NotFound, "setting-unknown"),
        (("list", "--section", "sntp"), BadInput, "setting-unknown-section"),
        (("list", "--node", "n1", "--domain", "example.com"), BadInput, "setting-mixed-owners"),
    ],
)
def test_what_is_refused_changes_nothing(
    run: Run, store: EtcdStore, arguments: tuple[str, ...], error: type[PosthouseError], key: str
) -> None:
    with pytest.raises(error) as refused:
        run(*arguments)
    assert refused.value.key == key
    assert refused.value.exit_code in {2, 3}
    assert store.list(keys.SETTINGS)[0] == []


def test_a_size_limit_above_the_volumes_free_space_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    free = shutil.disk_usage(tmp_path).free
    if free > 3 * 2**30:
        run("set", "smtp.message_size_limit", "2G")
    else:
        with pytest.raises(BadInput) as refused:
            run("set", "smtp.message_size_limit", "2G")
        assert refused.value.key == "setting-above-free-space"


def test_a_broken_value_in_the_store_is_passed_over_and_shown_as_a_warning(run: Run, store: EtcdStore) -> None:
    store.put(keys.setting("group", "mail", "smtp.recipient_limit"), "lots")
    assert agents_view(store)["smtp.recipient_limit"] == 1000
    shown = run("show", "smtp.recipient_limit", "--group", "mail")
    assert "lots" in shown
    assert "Warning: group/mail: smtp.recipient_limit: the stored value is not JSON" in shown
    run("set", "smtp.recipient_limit", "500", "--group", "mail")
    assert agents_view(store)["smtp.recipient_limit"] == 500


class _MeetingStore(EtcdStore):
    """Waits before its first transaction until the other writer has read and checked as well."""

    meeting: Barrier | None = None

    def transact(
        self, guards: Sequence[Guard], changes: Sequence[Put | Delete], *, deadline: Seconds | None = None
    ) -> Outcome:
        meeting, self.meeting = self.meeting, None
        if meeting is not None:
            meeting.wait(10)
        return super().transact(guards, changes, deadline=deadline)


def test_writers_at_once_never_break_a_rule_between_parameters(server: EtcdServer, store: EtcdStore) -> None:
    """Each change alone would be right; together they would leave failure notices that outlive mail."""
    SettingsService(store).set("smtp.queue_lifetime", "10d")
    meeting = Barrier(2)

    def write(name: str, value: str) -> str:
        with _MeetingStore([server.endpoint], Keys.read(server.pki)) as own:
            assert isinstance(own, _MeetingStore)
            own.meeting = meeting
            try:
                SettingsService(own).set(name, value)
            except BadInput as refused:
                return refused.key
            return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(write, ("smtp.queue_lifetime", "smtp.bounce_lifetime"), ("6d", "9d")))
    assert outcomes == ["done", "settings-bounces-outlive-mail"]
    assert agents_view(store).broken == ()


def test_the_pseudo_group_of_every_node_can_be_set(store: EtcdStore) -> None:
    assert SettingsService(store).set("smtp.process_limit", "70", Owner(Scope.GROUP, "local")).changed


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlapdServer]:
    try:
        rootfs.layers()
    except LabError:
        pytest.skip("needs slapd of the root filesystem: ./run rootfs")
    made = SlapdServer(tmp_path_factory.mktemp("slapd"))
    made.set_up()
    made.start()
    with made.service() as directory:
        directory.domains.create("例子.cn")
        directory.mailboxes.create(directory.mailboxes.wanted("alice@例子.cn", password="tin-Rook7-umbrella-Pf"))
    yield made
    made.stop()


@pytest.fixture
def run_with_directory(run: Run, slapd: SlapdServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(DirectoryService, "connect", slapd.service)
    return run


def test_a_domains_value_is_kept_in_the_directory_and_inherited_by_its_mailboxes(
    run_with_directory: Run, slapd: SlapdServer, store: EtcdStore
) -> None:
    run = run_with_directory
    run("set", "mailbox.language", "zh-TW")
    run("set", "mailbox.language", "zh-CN", "--domain", "例子.cn")
    shown = json.loads(run("show", "mailbox.language", "--mailbox", "alice@例子.cn", "--json"))
    assert shown["value"] == "zh-CN"
    assert shown["origin"] == {"scope": "domain", "name": "例子.cn"}
    with slapd.service() as directory:
        assert directory.settings_of("domain", "例子.cn") == {"mailbox.language": '"zh-CN"'}
    assert agents_view(store)["mailbox.language"] == "zh-TW"
    assert "In effect now: zh-TW (system)" in run("reset", "mailbox.language", "--domain", "例子.cn")
    with slapd.service() as directory:
        assert directory.settings_of("domain", "例子.cn") == {}


def test_a_quota_set_for_a_mailbox_is_the_mailboxs_quota(run_with_directory: Run, slapd: SlapdServer) -> None:
    said = run_with_directory("set", "mailbox.quota", "3G", "--mailbox", "alice@例子.cn")
    assert said.endswith("Takes effect at once.\n")
    with slapd.service() as directory:
        assert directory.mailboxes.find("alice@例子.cn").quota == 3 * 2**30


def test_settings_of_an_unknown_domain_or_mailbox_are_refused(run_with_directory: Run) -> None:
    for option, owner in (("--domain", "example.net"), ("--mailbox", "bob@例子.cn")):
        with pytest.raises(NotFound):
            run_with_directory("set", "mailbox.language", "ja", option, owner)
        with pytest.raises(NotFound):
            run_with_directory("show", "mailbox.language", option, owner)
