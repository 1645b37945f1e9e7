"""Mails: a folder or an SMTP server, a bounded queue, a few attempts."""

import asyncio
import stat
from email import message_from_bytes, message_from_string
from pathlib import Path

import pytest

from auth_service import mail as mail_module
from auth_service import mail_senders
from auth_service.mail import Mail, MailFailed, MailQueue
from auth_service.mail_senders import FolderSender, SmtpSender, SmtpServer
from runtime.clock import ManualClock
from runtime.ports import free_port

HELLO = Mail("ada@example.org", "Hello", "Text with ünicode.\n")


async def test_a_mail_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "mail"
    await FolderSender(folder, ManualClock(1_700_000_000_000_000)).send(HELLO)
    [file] = folder.iterdir()
    assert file.read_text(encoding="utf-8").endswith(
        "To: ada@example.org\nSubject: Hello\n\nText with ünicode.\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def subjects_in(folder: Path) -> list[str]:
    return [message_from_string(file.read_text())["Subject"] for file in sorted(folder.iterdir())]


async def test_the_folder_is_bounded_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_senders, "KEPT_MAX", 3)
    clock = ManualClock(1_700_000_000_000_000)
    sender = FolderSender(tmp_path, clock)
    for number in range(5):
        clock.advance(1)
        await sender.send(Mail("ada@example.org", str(number), ""))
    assert subjects_in(tmp_path) == ["2", "3", "4"]


async def test_a_folder_that_cannot_be_written_is_a_failed_attempt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailFailed):
        await FolderSender(tmp_path / "file" / "mail", ManualClock()).send(HELLO)


class Flaky:
    """Fails so often, then sends."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        if self.failures:
            self.failures -= 1
            raise MailFailed("not now")
        self.sent.append(mail)


@pytest.mark.parametrize(("failures", "arrives"), [(0, True), (2, True), (3, False)])
async def test_a_mail_is_tried_three_times(
    failures: int, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_module, "ATTEMPT_WAITS_SECONDS", (0.0, 0.0, 0.0))
    sender = Flaky(failures)
    queue = MailQueue(sender)
    running = asyncio.create_task(queue.run())
    other = Mail("eve@example.org", "Next", "")
    assert queue.offer(HELLO)
    assert queue.offer(other)
    async with asyncio.timeout(10):
        while other not in sender.sent:
            await asyncio.sleep(0.01)
    running.cancel()
    assert (HELLO in sender.sent) is arrives


async def test_a_full_queue_drops_what_is_only_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_module, "QUEUE_MAX", 2)
    queue = MailQueue(Flaky(0))
    assert [queue.offer(HELLO) for _ in range(3)] == [True, True, False]


async def test_smtp_delivers_what_the_folder_would_have(free_smtp: "tuple[int, list[str]]") -> None:
    port, received = free_smtp
    server = SmtpServer("127.0.0.1", port, "", "", "none", "Engine <no-reply@example.org>")
    await SmtpSender(server).send(HELLO)
    message = message_from_bytes("\n".join(received).encode())
    assert (message["To"], message["From"], message["Subject"]) == (
        "ada@example.org",
        "Engine <no-reply@example.org>",
        "Hello",
    )
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode() == HELLO.text.rstrip("\n")  # the last line break belongs to SMTP


async def test_no_smtp_server_is_a_failed_attempt() -> None:
    server = SmtpServer("127.0.0.1", free_port(), "", "", "none", "no-reply@example.org", timeout_seconds=2)
    with pytest.raises(MailFailed):
        await SmtpSender(server).send(HELLO)


async def test_a_server_without_encryption_gets_no_mail_where_encryption_is_set(
    free_smtp: "tuple[int, list[str]]",
) -> None:
    port, received = free_smtp
    server = SmtpServer("127.0.0.1", port, "", "", "starttls", "no-reply@example.org", timeout_seconds=5)
    with pytest.raises(MailFailed):
        await SmtpSender(server).send(HELLO)
    assert received == []
