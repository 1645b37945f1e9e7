"""Mails: what they say, and a bounded queue to whoever sends them."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from auth_service import metrics
from runtime.logs import get_logger

log = get_logger(__name__)

QUEUE_MAX: Final = 1_000
ATTEMPT_WAITS_SECONDS: Final = (0.0, 1.0, 5.0)
"""Before each attempt; after the last one the mail is given up."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Plain text to one address."""

    to: str
    subject: str
    text: str


class MailFailed(Exception):
    """This attempt; another one may succeed."""


class MailSender(Protocol):
    """Sends one mail. Raises MailFailed."""

    async def send(self, mail: Mail) -> None: ...


class MailQueue:
    """Sends in the background. What waits is lost when the process ends."""

    def __init__(self, sender: MailSender) -> None:
        self._sender = sender
        self._waiting: asyncio.Queue[Mail] = asyncio.Queue(QUEUE_MAX)

    def offer(self, mail: Mail) -> bool:
        """False when the queue is full: the mail is dropped, and counted."""
        try:
            self._waiting.put_nowait(mail)
        except asyncio.QueueFull:
            metrics.MAILS.labels("dropped").inc()
            log.error("a mail was dropped, the queue is full", subject=mail.subject)
            return False
        return True

    async def put(self, mail: Mail) -> None:
        """Waits for room."""
        await self._waiting.put(mail)

    async def run(self) -> None:
        """Sends one after another, for ever; ends by being cancelled."""
        while True:
            await self._send(await self._waiting.get())

    async def _send(self, mail: Mail) -> None:
        for wait_seconds in ATTEMPT_WAITS_SECONDS:
            await asyncio.sleep(wait_seconds)
            try:
                await self._sender.send(mail)
            except MailFailed as error:
                log.warning("a mail could not be sent", subject=mail.subject, reason=str(error))
            else:
                metrics.MAILS.labels("sent").inc()
                return
        metrics.MAILS.labels("given_up").inc()
        log.error("a mail was given up", subject=mail.subject)
