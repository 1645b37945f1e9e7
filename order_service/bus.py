"""NATS as the relays of one process use it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext

from runtime.bus import open_bus

ACK_SECONDS: Final = 5.0
MESSAGES_PER_SLICE: Final = 1_000

Publication = tuple[str, str, bytes]
"""Subject, an id that is the same whenever the same thing is published again, and body."""


class Bus:
    """The connection to NATS, made when a relay first needs it: NATS may come later than we do."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    async def stream(self) -> JetStreamContext:
        """Raises TimeoutError while NATS was never there."""
        async with self._lock:
            if self._client is None:
                opened = open_bus(self._url, name=self._name, wait=False)
                self._client = await self._stack.enter_async_context(opened)
        return self._client.jetstream(timeout=ACK_SECONDS)

    async def close(self) -> None:
        await self._stack.aclose()


async def publish(stream: JetStreamContext, publications: Sequence[Publication]) -> None:
    """Sent in order; all acks are awaited.

    In slices, so that never more acks are outstanding than nats-py allows (4,000): beyond that it waits without an end
    when they were lost with a connection. Sending stands under the time limit too.
    """
    for start in range(0, len(publications), MESSAGES_PER_SLICE):
        async with asyncio.timeout(ACK_SECONDS):
            acks = [
                await stream.publish_async(subject, body, headers={"Nats-Msg-Id": message_id})
                for subject, message_id, body in publications[start : start + MESSAGES_PER_SLICE]
            ]
            await asyncio.gather(*acks)
