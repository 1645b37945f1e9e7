"""Who sends mails: a folder (the default, for a machine of one's own) or an SMTP server."""

import asyncio
import os
import secrets
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Literal

from auth_service.mail import Mail, MailFailed
from runtime.clock import Clock, to_rfc3339
from runtime.logs import get_logger

log = get_logger(__name__)

KEPT_MAX: Final = 1_000
"""Mails in the folder; the oldest is deleted."""

Security = Literal["starttls", "tls", "none"]


class FolderSender:
    """Writes each mail into a file that only its owner can read. Says so in the log, without the mail's text."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        try:
            name = await asyncio.to_thread(self._write, mail)
        except OSError as error:
            raise MailFailed(type(error).__name__) from error
        log.info("a mail was written to the mail folder, not sent", file=name, subject=mail.subject)

    def _write(self, mail: Mail) -> str:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = self._clock.now_micros()
        name = f"{now}-{secrets.token_hex(4)}.txt"
        text = f"Date: {to_rfc3339(now)}\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.text}"
        # Under another name first, so that whoever watches the folder never reads half a mail.
        unfinished = self._folder / f"{name}.part"
        with open(unfinished, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
        unfinished.rename(self._folder / name)
        for old in sorted(self._folder.glob("*.txt"))[:-KEPT_MAX]:
            old.unlink(missing_ok=True)
        return name


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails go; `user` empty: without logging in."""

    host: str
    port: int
    user: str
    password: str
    security: Security
    sender: str
    timeout_seconds: float = 10.0


class SmtpSender:
    """One connection per mail, in a thread."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, mail: Mail) -> None:
        try:
            await asyncio.to_thread(self._deliver, mail)
        except (OSError, smtplib.SMTPException) as error:
            raise MailFailed(type(error).__name__) from error

    def _deliver(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"] = self._server.sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message.set_content(mail.text)
        with self._connected() as smtp:
            if self._server.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if self._server.user:
                smtp.login(self._server.user, self._server.password)
            smtp.send_message(message)

    def _connected(self) -> smtplib.SMTP:
        where, timeout = (self._server.host, self._server.port), self._server.timeout_seconds
        if self._server.security == "tls":
            return smtplib.SMTP_SSL(*where, timeout=timeout, context=ssl.create_default_context())
        return smtplib.SMTP(*where, timeout=timeout)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
