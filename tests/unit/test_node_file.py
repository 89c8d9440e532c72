"""The node file: what it accepts, and how it says what is wrong."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from appliance import node_file
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.coordination import connect
from appliance.errors import NotFound
from appliance.node_file import NodeFile, NodeFileRefused, StoreAccess
from appliance.pki.authority import Authority

NODE = NodeFile(name=NodeName("mx1"), hostname="mail.example.com", roles=frozenset({Role.CONTROL, Role.STORE}))


def test_what_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "node.yaml"
    node_file.write(NODE, path)
    assert node_file.read(path) == NODE
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["node.yaml"]


def test_the_store_is_on_this_machine_unless_said_otherwise() -> None:
    node = node_file.parse("{name: a, hostname: a.example.com, roles: [store]}")
    assert node.store == StoreAccess(endpoints=("https://127.0.0.1:2379",))


def test_a_chinese_host_name_is_kept_as_its_a_label() -> None:
    assert (
        node_file.parse("{name: a, hostname: 邮件.例子.中国, roles: [store]}").hostname
        == "xn--5nq051n.xn--fsqu00a.xn--fiqs8s"
    )


def test_a_server_that_was_never_set_up_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        node_file.read(tmp_path / "node.yaml")
    assert caught.value.key == "node-file-missing"


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        pytest.param("name: [", "yaml", "", id="broken-yaml"),
        pytest.param("- mx1", "yaml", "", id="a-list"),
        pytest.param("", "yaml", "", id="empty"),
        pytest.param("{name: MX_1, hostname: a.example.com, roles: [store]}", "node", "", id="name-not-a-label"),
        pytest.param("{hostname: a.example.com, roles: [store]}", "name", "required", id="name-missing"),
        pytest.param("{name: a, hostname: a, roles: [store]}", "hostname", "qualified", id="hostname-unqualified"),
        pytest.param("{name: a, hostname: 'a b.example', roles: [store]}", "hostname", "", id="hostname-with-space"),
        pytest.param("{name: a, hostname: 10.0.0.1, roles: [store]}", "hostname", "address", id="hostname-address"),
        pytest.param("{name: a, hostname: a_b.example.com, roles: [store]}", "hostname", "", id="underscore"),
        pytest.param("{name: a, hostname: -a.example.com, roles: [store]}", "hostname", "", id="leading-hyphen"),
        pytest.param("{name: a, hostname: a..example.com, roles: [store]}", "hostname", "", id="empty-label"),
        pytest.param("{name: a, hostname: a.example.com, roles: []}", "roles", "", id="no-role"),
        pytest.param("{name: a, hostname: a.example.com, roles: [king]}", "roles.0", "", id="unknown-role"),
        pytest.param(
            "{name: a, hostname: a.example.com, roles: [store], store: {endpoints: []}}", "store.endpoints", "",
            id="no-endpoint",
        ),
        pytest.param(
            "{name: a, hostname: a.example.com, roles: [store], store: {endpoints: ['http://127.0.0.1:2379']}}",
            "store.endpoints", "https://HOST:PORT", id="plain-http",
        ),
        pytest.param(
            "{name: a, hostname: a.example.com, roles: [store], store: {endpoints: ['https://127.0.0.1']}}",
            "store.endpoints", "https://HOST:PORT", id="no-port",
        ),
        pytest.param(
            "{name: a, hostname: a.example.com, roles: [store],"
            " store: {endpoints: ['https://127.0.0.1:1', 'https://[::1]:1']}}",
            "store.endpoints", "family", id="mixed-families",
        ),
        pytest.param(
            "{name: a, hostname: a.example.com, roles: [store], passwort: x}", "passwort", "", id="unknown-field"
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_the_field(text: str, field: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NodeFileRefused) as caught:
        node_file.read(path)
    assert caught.value.field == field
    assert part in str(caught.value.facts.get("detail", ""))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.yaml"
    node_file.write(NODE, path)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        node_file.write(NODE.model_copy(update={"hostname": "other.example.com"}), path)
    monkeypatch.undo()
    assert node_file.read(path) == NODE
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.yaml"]


@pytest.mark.parametrize(
    ("name", "key"),
    [(".".join(["abcdefgh"] * 40), "hostname-too-long"), (f"a.{'b' * 64}.example", "hostname-label-too-long")],
)
def test_a_host_name_that_is_too_long_is_told_the_limit(name: str, key: str) -> None:
    with pytest.raises(node_file.BadHostname) as refused:
        node_file.hostname(name)
    assert refused.value.key == key
    assert str(refused.value.facts["limit"]) in str(refused.value)


@pytest.mark.parametrize(("backend", "kind"), [("etcd", "EtcdStore"), ("zookeeper", "ZooKeeperStore")])
def test_the_node_file_says_which_program_keeps_the_store(
    backend: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.paths.PKI", tmp_path)
    pair = Authority.create("test.example.com").pair()
    for name, pem in {"ca.crt": pair.certificate, "node.crt": pair.certificate, "node.key": pair.key}.items():
        (tmp_path / name).write_bytes(pem)
    text = f"name: n1\nhostname: mail.example.com\nroles: [control]\nstore: {{backend: {backend}}}\n"
    with connect(node_file.parse(text)) as store:
        assert type(store).__name__ == kind
