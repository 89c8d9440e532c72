"""`posthouse tls` with files as OpenSSL and certificate authorities write them, and a real TLS server on the result."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance import durable_files, node_file, paths
from appliance.cli.main import posthouse
from appliance.cluster.model import Role
from appliance.cluster.names import NodeName
from appliance.errors import BadInput, NotFound
from appliance.node_file import NodeFile
from appliance.pki import upkeep

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("openssl") is None, reason="needs root and Debian's openssl"
)

HOST = "mail.example.com"


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node after `posthouse init`, in a folder of its own; returns the folder of its keys."""
    monkeypatch.setattr(paths, "PKI", tmp_path / "etc/pki")
    monkeypatch.setattr(paths, "NODE_FILE", tmp_path / "etc/node.yaml")
    monkeypatch.setattr(durable_files, "group_id", lambda _: 0)  # this machine need not have etcd's account
    identity = NodeFile(name=NodeName("mail"), hostname=HOST, roles=frozenset({Role.CONTROL, Role.STORE}))
    node_file.write(identity)
    upkeep.ensure_authority(HOST)
    upkeep.ensure(identity)
    return paths.PKI


def tls(*words: str | Path) -> Result:
    return CliRunner().invoke(posthouse, ["tls", *map(str, words)], catch_exceptions=True)


def told(*words: str | Path) -> Any:
    result = tls(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def openssl(*words: str | Path, stdin: str = "") -> str:
    command = ["openssl", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bought(tmp_path: Path) -> Path:
    """What an operator gets from an authority: a key by openssl, a certificate, and an intermediate."""
    folder = tmp_path / "bought"
    folder.mkdir()
    ca = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
    for name, above in (("root", None), ("middle", "root")):
        openssl("genrsa", "-out", folder / f"{name}.key", "2048")
        sign(folder, name, above, f"/CN={name}", ca)
    openssl("genrsa", "-traditional", "-out", folder / "leaf.key", "2048")
    leaf = f"subjectAltName=DNS:{HOST},DNS:imap.example.com\nextendedKeyUsage=serverAuth\n"
    sign(folder, "leaf", "middle", f"/CN={HOST}", leaf)
    return folder


def sign(folder: Path, name: str, above: str | None, subject: str, extensions: str) -> None:
    (folder / "ext").write_text(extensions)
    request = openssl("req", "-new", "-key", folder / f"{name}.key", "-subj", subject)
    signer: list[str | Path] = ["-CA", folder / f"{above}.crt", "-CAkey", folder / f"{above}.key", "-CAcreateserial"]
    own: list[str | Path] = ["-signkey", folder / f"{name}.key"]
    words: list[str | Path] = [
        "x509",
        "-req",
        "-days",
        "90",
        "-extfile",
        folder / "ext",
        "-out",
        folder / f"{name}.crt",
    ]
    openssl(*words, *(signer if above else own), stdin=request)


def greet(certificate: Path, key: Path, authority: Path) -> dict[str, Any]:
    """Present the pair on a real socket and verify it strictly as `mail.example.com`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(authority))
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as connection:
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname=HOST) as connection:
        peer = connection.getpeercert()
        connection.send(b"x")
    thread.join()
    assert peer is not None
    return peer


def test_a_new_node_presents_a_certificate_that_openssl_verifies_strictly(node: Path) -> None:
    for name, purpose in (("mail", "sslserver"), ("node", "sslclient"), ("node", "sslserver"), ("etcd", "sslserver")):
        openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", node / "ca.crt", node / f"{name}.crt")
    assert greet(node / "mail.crt", node / "mail.key", node / "ca.crt")["subjectAltName"] == (("DNS", HOST),)


def test_show_lists_every_certificate_and_whose_it_is() -> None:
    rows = {row["name"]: row for row in told("show")}
    assert set(rows) == {"ca", "node", "etcd", "mail", "inside", "relay"}
    assert {row["source"] for row in rows.values()} == {"authority"}
    assert rows["mail"]["names"] == [HOST]
    assert 390 < rows["mail"]["days_left"] <= 397
    assert HOST in tls("show").output


def test_show_needs_no_right_to_read_keys(node: Path) -> None:
    for key in node.glob("*.d/*/key.pem"):
        key.unlink()
    assert len(told("show")) == 6


def test_the_operator_s_certificate_is_what_clients_see(node: Path, bought: Path) -> None:
    answer = told("install", bought / "leaf.crt", bought / "leaf.key", "--chain", bought / "middle.crt")
    assert answer["certificate"]["source"] == "operator"
    assert answer["certificate"]["names"] == ["imap.example.com", HOST]
    assert [warning["key"] for warning in answer["warnings"]] == ["tls-chain-incomplete"], "the root is not Debian's"
    assert "imap.example.com" in str(greet(node / "mail.crt", node / "mail.key", bought / "root.crt"))
    assert stat.S_IMODE((node / "mail.key").stat().st_mode) == 0o600
    assert (node / "mail.key").stat().st_uid == 0


def test_a_bundle_with_the_root_is_taken_without_the_root(node: Path, bought: Path) -> None:
    bundle = bought / "bundle.pem"
    bundle.write_text("".join((bought / f"{name}.crt").read_text() for name in ("root", "middle", "leaf")))
    answer = told("install", bundle, bought / "leaf.key")
    assert [warning["key"] for warning in answer["warnings"]] == ["tls-private-authority"]
    assert (node / "mail.crt").read_text().count("BEGIN CERTIFICATE") == 2
    greet(node / "mail.crt", node / "mail.key", bought / "root.crt")


def test_rollback_brings_back_what_was_there(node: Path, bought: Path) -> None:
    before = (node / "mail.crt").read_bytes()
    tls("install", bought / "leaf.crt", bought / "leaf.key")
    assert (node / "mail.crt").read_bytes() != before
    assert told("rollback")["certificate"]["source"] == "authority"
    assert (node / "mail.crt").read_bytes() == before
    greet(node / "mail.crt", node / "mail.key", node / "ca.crt")


def test_rollback_without_anything_before_says_so() -> None:
    assert isinstance(tls("rollback").exception, NotFound)


def test_issue_replaces_it_by_one_of_the_installation_s_own(node: Path, bought: Path) -> None:
    tls("install", bought / "leaf.crt", bought / "leaf.key")
    assert told("issue")["certificate"]["source"] == "authority"
    greet(node / "mail.crt", node / "mail.key", node / "ca.crt")


def test_a_refused_pair_changes_nothing(node: Path, bought: Path) -> None:
    before = (node / "mail.crt").read_bytes()
    result = tls("install", bought / "leaf.crt", bought / "middle.key")
    assert isinstance(result.exception, BadInput)
    assert result.exception.field == "key"
    assert (node / "mail.crt").read_bytes() == before


def test_an_encrypted_key_is_refused_with_the_way_out(bought: Path) -> None:
    openssl("pkey", "-in", bought / "leaf.key", "-aes256", "-passout", "pass:geheim", "-out", bought / "enc.key")
    error = tls("install", bought / "leaf.crt", bought / "enc.key").exception
    assert isinstance(error, BadInput)
    assert "openssl pkey" in str(error)


def test_an_ec_key_with_its_parameters_is_taken(node: Path, bought: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", bought / "ec.key")
    sign(bought, "ec", "middle", f"/CN={HOST}", f"subjectAltName=DNS:{HOST}\n")
    told("install", bought / "ec.crt", bought / "ec.key", "--chain", bought / "middle.crt")
    greet(node / "mail.crt", node / "mail.key", bought / "root.crt")


def test_everything_is_told_in_the_reader_s_language(bought: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for language, word in (("zh-CN", "证书"), ("zh-TW", "憑證"), ("ja", "証明書"), ("en", "CERTIFICATE")):
        monkeypatch.setenv("POSTHOUSE_LANG", language)
        assert word in tls("show").output
        assert "!" in tls("install", bought / "leaf.crt", bought / "leaf.key").output
