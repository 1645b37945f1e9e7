"""JetStream publishing in slices: what nats-py's `publish_async` does, with one future for a thousand messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError

ACK_SECONDS: Final = 5.0
MESSAGES_PER_SLICE: Final = 1_000
MESSAGES_PER_TURN: Final = 32
"""So many are sent at once (half a millisecond); then whoever else waits in this process has a turn."""

NO_RESPONDERS: Final = "503"

Publication = tuple[str, str, bytes]
"""Subject, an id that is the same whenever the same thing is published again, and body."""


@dataclass(slots=True)
class _Slice:
    """Messages under way."""

    unanswered: set[int]
    answered: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Publisher:
    """Of one connection, which may be lost and come back meanwhile; any number of tasks may publish."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._slices: dict[int, _Slice] = {}
        self._numbered = 0

    async def open(self) -> None:
        """Once, before publishing; the subscription outlives lost connections."""
        callback: Any = self._on_ack
        await self._client.subscribe(f"{self._inbox}.*", cb=callback)

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Sent in order; every message was acknowledged when it returns. When it raises, any of them may be stored.

        In slices, so that what is outstanding is bounded. Sending and its acks stand under one time limit, since the
        acks of a lost connection never come. Raises TimeoutError, nats.errors.Error, nats.js.errors.Error.
        """
        for start in range(0, len(publications), MESSAGES_PER_SLICE):
            async with asyncio.timeout(ACK_SECONDS):
                await self._publish_slice(publications[start : start + MESSAGES_PER_SLICE])

    async def _publish_slice(self, publications: Sequence[Publication]) -> None:
        self._numbered += 1
        number = self._numbered
        slice_ = self._slices[number] = _Slice(set(range(len(publications))))
        try:
            for index, (subject, message_id, body) in enumerate(publications):
                reply = f"{self._inbox}.{number}-{index}"
                await self._client.publish(subject, body, reply=reply, headers={"Nats-Msg-Id": message_id})
                if index % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1:
                    await asyncio.sleep(0)  # sending alone never waits
            await slice_.answered
        finally:
            del self._slices[number]
            if not slice_.answered.cancel() and not slice_.answered.cancelled():
                slice_.answered.exception()  # seen: it may have failed while we gave up for another reason

    async def _on_ack(self, message: Msg) -> None:
        number, _, index = message.subject.rpartition(".")[2].partition("-")
        slice_ = self._slices.get(int(number))
        if slice_ is None or slice_.answered.done():
            return
        refusal = _refusal(message)
        if refusal is not None:
            slice_.answered.set_exception(refusal)
            return
        slice_.unanswered.discard(int(index))
        if not slice_.unanswered:
            slice_.answered.set_result(None)


def _refusal(message: Msg) -> Exception | None:
    """Why JetStream did not store it; None: it did (a repeat, too, is acknowledged)."""
    if not message.data:
        status = (message.headers or {}).get("Status")
        return NoStreamResponseError() if status == NO_RESPONDERS else APIError(description="an empty ack")
    answer = orjson.loads(message.data)
    if "error" not in answer:
        return None
    error = answer["error"]
    return APIError(
        code=error.get("code"), err_code=error.get("err_code"), description=error.get("description")
    )
