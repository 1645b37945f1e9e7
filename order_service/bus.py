"""NATS as the relays of one process use it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from nats.js import JetStreamContext

from order_service.publisher import ACK_SECONDS, Publisher
from runtime.bus import open_bus


class Bus:
    """The connection to NATS, made when a relay first needs it: NATS may come later than we do."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._opened: tuple[JetStreamContext, Publisher] | None = None

    async def stream(self) -> JetStreamContext:
        """To make streams with. Raises TimeoutError while NATS was never there."""
        return (await self._open())[0]

    async def publisher(self) -> Publisher:
        """To publish with. Raises TimeoutError while NATS was never there."""
        return (await self._open())[1]

    async def _open(self) -> tuple[JetStreamContext, Publisher]:
        async with self._lock:
            if self._opened is None:
                client = await self._stack.enter_async_context(
                    open_bus(self._url, name=self._name, wait=False)
                )
                publisher = Publisher(client)
                await publisher.open()
                self._opened = client.jetstream(timeout=ACK_SECONDS), publisher
        return self._opened

    async def close(self) -> None:
        await self._stack.aclose()
