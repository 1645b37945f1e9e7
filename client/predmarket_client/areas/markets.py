"""What everybody may read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from predmarket_client.caller import Caller
from predmarket_client.paging import Page, Pages
from predmarket_client.shapes.analytics import Candle, Interval, PastBook
from predmarket_client.shapes.markets import (
    BookSnapshot,
    Holder,
    Market,
    MarketStatus,
    MarketTicker,
    MergedBook,
    Solvency,
    Trade,
)

PAGE_ROWS = 100


class _Candles(msgspec.Struct, frozen=True):
    items: tuple[Candle, ...]


class Markets:
    """`client.markets`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(
        self,
        *,
        status: MarketStatus | None = None,
        category: str | None = None,
        q: str | None = None,
        sort: Literal["newest", "volume", "closing", "movers"] = "newest",
        page_rows: int = PAGE_ROWS,
    ) -> Pages[Market]:
        """Markets, newest first or as `sort` says; `q`: every word of it in question, description or category."""

        async def fetch(cursor: str | None) -> Page[Market]:
            query = {
                "status": status,
                "category": category,
                "q": q,
                "sort": sort,
                "limit": page_rows,
                "cursor": cursor,
            }
            return await self._caller.get("/v1/markets", Page[Market], query=query)

        return Pages(fetch)

    async def get(self, market_id: str) -> Market:
        """One market; a DRAFT only for administrators."""
        return await self._caller.get(f"/v1/markets/{market_id}", Market)

    async def book(self, market_id: str, *, depth: int | None = None) -> BookSnapshot:
        """The book now, `depth` levels a side (all without). To follow it, use `client.stream()`."""
        return await self._caller.get(f"/v1/markets/{market_id}/book", BookSnapshot, query={"depth": depth})

    async def merged_book(self, market_id: str, *, depth: int | None = None) -> MergedBook:
        """The book with the pool beside it, `depth` levels a side (all without)."""
        query = {"depth": depth, "merged": "true"}
        return await self._caller.get(f"/v1/markets/{market_id}/book", MergedBook, query=query)

    async def book_at(self, market_id: str, at: datetime, *, depth: int | None = None) -> PastBook:
        """The book as it stood at a moment (with a time zone), `depth` levels a side (all without)."""
        query = {"at": at, "depth": depth}
        return await self._caller.get(f"/v1/markets/{market_id}/book", PastBook, query=query)

    async def candles(
        self,
        market_id: str,
        interval: Interval,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        intervals_max: int = 500,
    ) -> tuple[Candle, ...]:
        """Oldest first: those that start at or after `since` (as far back as `intervals_max` reaches) and before
        `until` (now). Intervals in which nothing happened are left out. Times have a time zone."""
        query = {"interval": interval, "from": since, "to": until, "limit": intervals_max}
        return (await self._caller.get(f"/v1/markets/{market_id}/candles", _Candles, query=query)).items

    async def ticker(self, market_id: str) -> MarketTicker:
        """The market in figures. To follow it, use `client.stream()`."""
        return await self._caller.get(f"/v1/markets/{market_id}/ticker", MarketTicker)

    async def tickers_of(self, market_ids: Sequence[str]) -> tuple[MarketTicker, ...]:
        """Of at most 100 markets those that are there, in this order."""
        query = {"market_ids": ",".join(market_ids)}
        return (await self._caller.get("/v1/tickers", Page[MarketTicker], query=query)).items

    def tickers(self, *, page_rows: int = PAGE_ROWS) -> Pages[MarketTicker]:
        """Of all live markets, by market id."""

        async def fetch(cursor: str | None) -> Page[MarketTicker]:
            query = {"limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/tickers", Page[MarketTicker], query=query)

        return Pages(fetch)

    def holders(self, market_id: str, *, page_rows: int = PAGE_ROWS) -> Pages[Holder]:
        """Who holds the shares, the largest first."""

        async def fetch(cursor: str | None) -> Page[Holder]:
            query = {"limit": page_rows, "cursor": cursor}
            return await self._caller.get(f"/v1/markets/{market_id}/holders", Page[Holder], query=query)

        return Pages(fetch)

    async def solvency(self, market_id: str) -> Solvency:
        """Whether what the market owes is covered."""
        return await self._caller.get(f"/v1/markets/{market_id}/solvency", Solvency)

    def trades(self, market_id: str, *, page_rows: int = PAGE_ROWS) -> Pages[Trade]:
        """Newest first."""

        async def fetch(cursor: str | None) -> Page[Trade]:
            query = {"limit": page_rows, "cursor": cursor}
            return await self._caller.get(f"/v1/markets/{market_id}/trades", Page[Trade], query=query)

        return Pages(fetch)
