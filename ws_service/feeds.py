"""Feeds by name: started when first asked for, shared by all who ask, ended when nobody has them pinned."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from nats.aio.subscription import Subscription

from ws_service.bus_handlers import stop_listening


class Feed(Protocol):
    """What is kept here."""

    pins: int

    async def stop(self) -> None: ...


F = TypeVar("F", bound=Feed)
Open = Callable[[str, list[Subscription]], Awaitable[F]]
"""Makes and starts one; what it subscribes to goes into the list, also when it fails."""


class Feeds(Generic[F]):
    """Used on the loop's thread only."""

    def __init__(self, open_feed: Open[F]) -> None:
        self._open = open_feed
        self._feeds: dict[str, F] = {}
        self._starting: dict[str, asyncio.Task[F]] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}

    def get(self, name: str) -> F | None:
        """One that runs."""
        return self._feeds.get(name)

    def all(self) -> tuple[F, ...]:
        return tuple(self._feeds.values())

    async def pinned(self, name: str) -> F:
        """Pinned for the caller. Several who ask at once share one start. Raises what the start raised."""
        feed = self._feeds.get(name)
        if feed is None:
            starting = self._starting.get(name)
            if starting is None:
                starting = asyncio.create_task(self._start(name), name=f"start {name}")
                self._starting[name] = starting
            feed = await asyncio.shield(starting)
            if self._feeds.get(name) is not feed:  # it ended between its start and our turn
                return await self.pinned(name)
        feed.pins += 1
        return feed

    async def end_unused(self) -> None:
        """Those that nobody has pinned."""
        for name in [name for name, feed in self._feeds.items() if feed.pins == 0]:
            if self._feeds[name].pins == 0:  # still, after the ones before have ended
                await self._end(name)

    async def stop(self) -> None:
        """Ends all."""
        for name in tuple(self._feeds):
            await self._end(name)

    async def _start(self, name: str) -> F:
        subscriptions: list[Subscription] = []
        try:
            feed = await self._open(name, subscriptions)
        except BaseException:
            await stop_listening(subscriptions)
            raise
        finally:
            del self._starting[name]
        self._feeds[name] = feed
        self._subscriptions[name] = subscriptions
        return feed

    async def _end(self, name: str) -> None:
        feed = self._feeds.pop(name)
        await stop_listening(self._subscriptions.pop(name))
        await feed.stop()
