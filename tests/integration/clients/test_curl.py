"""curl, as scripts use it: a message uploaded by SMTP, fetched by IMAP and by POP3."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.clients.desk import IMPOSTOR, Desk, Done
from tests.integration.letters import without_trace, written
from tests.integration.mail_clients import Account, MailNode, mark

# curl(1), "EXIT CODES"
_LOGIN_DENIED = 67
_NOT_VERIFIED = 60


def curl(desk: Desk, account: Account, url: str, *words: str | Path, allowed: tuple[int, ...] = (0,)) -> Done:
    """Run curl as that person, TLS required and verified."""
    options: list[str | Path] = ["--silent", "--show-error", "--ssl-reqd", "--cacert", desk.ca_file, "--max-time", "30"]
    return desk.run("curl", *options, "--netrc-file", desk.netrc(account), *words, url, allowed=allowed)


@pytest.mark.parametrize("url", ["smtp://{server}:587/client.example.net", "smtps://{server}/client.example.net"])
def test_an_uploaded_message_is_fetched_by_imap_and_pop3_as_it_was(
    mail: MailNode, desk: Desk, wang: Account, li: Account, url: str
) -> None:
    sent = written(wang.address, li.address, word := mark())
    message = desk.keep("message", sent)
    envelope = ["--mail-from", wang.address, "--mail-rcpt", li.address]
    curl(desk, wang, url.format(server=desk.server), *envelope, "--upload-file", message)
    mail.arrived(li, word)
    assert without_trace(curl(desk, li, f"imaps://{desk.server}/INBOX;MAILINDEX=1").output) == sent
    assert without_trace(curl(desk, li, f"imap://{desk.server}/INBOX;MAILINDEX=1").output) == sent
    assert without_trace(curl(desk, li, f"pop3s://{desk.server}/1").output) == sent
    assert without_trace(curl(desk, li, f"pop3://{desk.server}/1").output) == sent


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("scheme", ["imaps", "pop3s"])
def test_both_mechanisms_sign_in_to_read(
    mail: MailNode, desk: Desk, wang: Account, scheme: str, mechanism: str
) -> None:
    said = curl(desk, wang, f"{scheme}://{desk.server}/", "--login-options", f"AUTH={mechanism}").said
    assert "INBOX" in said if scheme == "imaps" else said.strip() == ""  # the list of an empty mailbox


def test_a_message_uploaded_into_a_chinese_folder_is_found_there(mail: MailNode, desk: Desk, wang: Account) -> None:
    sent = written(wang.address, wang.address, word := mark())
    url = f"imaps://{desk.server}"
    curl(desk, wang, f"{url}/", "--request", "CREATE &g0l6P3ux-")
    curl(desk, wang, f"{url}/%26g0l6P3ux-", "--upload-file", desk.keep("message", sent))
    assert mail.messages(wang, "&g0l6P3ux-") == [sent]
    assert "SEARCH 1" in curl(desk, wang, f"{url}/%26g0l6P3ux-?TEXT%20{word}").said


def test_a_server_of_another_name_is_not_trusted(desk: Desk, wang: Account) -> None:
    for scheme in ("imaps", "pop3s", "smtps"):
        assert curl(desk, wang, f"{scheme}://{IMPOSTOR}/", allowed=(_NOT_VERIFIED,)).said


def test_without_tls_curl_gets_nothing(mail: MailNode, desk: Desk, wang: Account) -> None:
    netrc = desk.netrc(wang)
    for scheme in ("imap", "pop3"):
        done = desk.run("curl", "-sS", "--netrc-file", netrc, f"{scheme}://{desk.server}/", allowed=(_LOGIN_DENIED,))
        assert done.output == b""
