"""The bus, heard: book messages of all markets, and news of their status or terms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from engine.published_book import book_message
from market_service.markets import Markets
from market_service.metrics import BAD_BUS_MESSAGES
from runtime.logs import get_logger
from runtime.surprises import AWAY

log = get_logger(__name__)

BOOKS: Final = "market.*.book"
STATUSES: Final = "market.*.status"
Heard = Callable[[str, bytes], None]


async def follow(bus: Client, markets: Markets, on_listing: Callable[[str], None]) -> None:
    """Subscribes. `on_listing`: told of each change of a market's status or terms by a token that is the same wherever
    it is heard."""

    def book(market_id: str, data: bytes) -> None:
        markets.on_book(market_id, book_message(data))

    def status(market_id: str, data: bytes) -> None:
        seq = int(orjson.loads(data)["seq"])
        markets.on_terms(market_id)
        on_listing(f"{market_id}:{seq}")

    await _listen(bus, BOOKS, book)
    await _listen(bus, STATUSES, status)
    await bus.flush()


async def sweep(markets: Markets, seconds: float) -> None:
    """For ever. PostgreSQL away: the replicas stay as they are until it is back."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await markets.sweep()
        except AWAY as error:
            log.warning("the replicas could not be compared", error=type(error).__name__)


async def _listen(bus: Client, subject: str, take: Heard) -> None:
    async def handle(message: Msg) -> None:
        try:
            take(message.subject.split(".")[1], message.data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            BAD_BUS_MESSAGES.inc()
            log.error("a bus message does not fit", subject=message.subject, exc_info=error)

    callback: Any = handle
    await bus.subscribe(subject, cb=callback)
