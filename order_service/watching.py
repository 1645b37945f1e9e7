"""WatchBook: the book as it is, then how it differs from what was sent last. So a slow reader's changes collapse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from order_service.watchers import Watchers
from predmarket.order.v1 import order_pb2

PACE_SECONDS: Final = 0.05
"""At most one message in this time."""


async def watch_book(
    watchers: Watchers, market_id: str, read: Callable[[], Awaitable[order_pb2.GetBookResponse]]
) -> AsyncIterator[order_pb2.WatchBookResponse]:
    """Without end; raises ApiError as soon as the market can no longer be read here. `read` gives the live book."""
    with watchers.watching(market_id) as waker:
        sent = await read()
        yield _message(sent, None)
        while True:
            await waker.wait()
            waker.clear()
            book = await read()
            if book.seq == sent.seq and book.epoch == sent.epoch:
                continue
            # Not read again until the transport has taken it: what happens meanwhile is in the next difference.
            yield _message(book, sent if book.epoch == sent.epoch else None)
            sent = book
            await asyncio.sleep(PACE_SECONDS)


def _message(
    book: order_pb2.GetBookResponse, before: order_pb2.GetBookResponse | None
) -> order_pb2.WatchBookResponse:
    return order_pb2.WatchBookResponse(
        is_snapshot=before is None,
        market_id=book.market_id,
        epoch=book.epoch,
        prev_seq=0 if before is None else before.seq,
        seq=book.seq,
        time=book.time,
        bids=book.bids if before is None else _changes(before.bids, book.bids),
        asks=book.asks if before is None else _changes(before.asks, book.asks),
        pool_yes_micros=book.pool_yes_micros,
        pool_no_micros=book.pool_no_micros,
        status=book.status,
        reason=book.reason,
    )


def _changes(before: Iterable[order_pb2.Level], after: Iterable[order_pb2.Level]) -> list[order_pb2.Level]:
    """Levels that are new or differ, and with quantity 0 those that are gone."""
    known = {level.price_micros: level.quantity_micros for level in before}
    changed = [level for level in after if known.pop(level.price_micros, None) != level.quantity_micros]
    return changed + [order_pb2.Level(price_micros=price) for price in known]
