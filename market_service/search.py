"""Lists of markets: by age, volume and closing time from PostgreSQL, by movement from the replicas."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final
from zlib import crc32

from db_service import history
from db_service.paging import TOKEN_MAX_CHARACTERS, Query, bad_field, checked_page_size
from db_service.store.objects import Row, market_of
from engine.state import Market, MarketStatus
from market_service.cache import LIST_SECONDS, Cache
from market_service.day import Days
from market_service.live import LiveMarket
from market_service.markets import Markets
from market_service.render import details
from market_service.store import Store
from predmarket.db.v1 import db_pb2
from predmarket.market.v1 import market_pb2
from runtime.errors import ApiError, ErrorCode

TEXT_MAX: Final = 100
CATEGORY_MAX: Final = 60
LISTS: Final = "lists"
_LISTINGS: Final = {
    market_pb2.MARKET_SORT_UNSPECIFIED: history.MARKETS[db_pb2.MARKET_SORT_NEWEST],
    market_pb2.MARKET_SORT_NEWEST: history.MARKETS[db_pb2.MARKET_SORT_NEWEST],
    market_pb2.MARKET_SORT_VOLUME: history.MARKETS[db_pb2.MARKET_SORT_VOLUME],
    market_pb2.MARKET_SORT_CLOSING: history.MARKETS[db_pb2.MARKET_SORT_CLOSING],
}
_HAS_WORD: Final = "strpos(lower(question || ' ' || description || ' ' || category), lower({})) > 0"


class Search:
    """`ListMarkets`."""

    def __init__(self, store: Store, cache: Cache, days: Days, markets: Markets) -> None:
        self._store = store
        self._cache = cache
        self._days = days
        self._markets = markets

    async def page(
        self, request: market_pb2.ListMarketsRequest, *, hidden_too: bool
    ) -> market_pb2.ListMarketsResponse:
        """Raises INVALID_ARGUMENT. What admins see of drafts is not cached."""
        _check(request)
        if hidden_too:
            return await self._read(request, hidden_too=True)

        async def read() -> bytes:
            return (await self._read(request, hidden_too=False)).SerializeToString()

        name = request.SerializeToString(deterministic=True).hex()
        token = await self._cache.noted(LISTS)
        kept = await self._cache.get("list", name, token=token, seconds=LIST_SECONDS, read=read)
        return market_pb2.ListMarketsResponse.FromString(kept)

    async def one(self, market_id: str) -> market_pb2.MarketDetails:
        """As admins see it. Raises MARKET_NOT_FOUND."""
        row = await self._store.market_row(market_id)
        if row is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        await self._days.know([market_id])
        return self._details(row, True)

    async def _read(
        self, request: market_pb2.ListMarketsRequest, *, hidden_too: bool
    ) -> market_pb2.ListMarketsResponse:
        if request.sort == market_pb2.MARKET_SORT_MOVERS:
            return await self._movers(request)
        query = Query(_LISTINGS[request.sort])
        if not hidden_too:
            query.where(f"NOT {history.HIDDEN}")
        if request.status:
            query.where("status = {}", request.status)
        if request.category:
            query.where("category = {}", request.category)
        for word in request.q.split():
            query.where(_HAS_WORD, word)
        statement = query.page(request.page_size, request.page_token)
        rows, token = statement.cut(await self._store.fetch(statement.text, *statement.arguments))
        await self._days.know(str(row["market_id"]) for row in rows)
        shown = [self._details(row, hidden_too) for row in rows]
        return market_pb2.ListMarketsResponse(markets=shown, next_page_token=token)

    def _details(self, row: Row, house_too: bool) -> market_pb2.MarketDetails:
        market = market_of(row)
        return details(market, row["shard_id"], self._days.of(market), house_too=house_too)

    async def _movers(self, request: market_pb2.ListMarketsRequest) -> market_pb2.ListMarketsResponse:
        size = checked_page_size(request.page_size)
        after = _decode(request) if request.page_token else None
        chosen = [each for each in self._markets.all() if _fits(each.market, request)]
        await self._days.know(each.market_id for each in chosen)
        keyed = sorted((self._key(each), each) for each in chosen)
        left = [(key, each) for key, each in keyed if after is None or key > after]
        shown = left[:size]
        return market_pb2.ListMarketsResponse(
            markets=[
                details(each.market, each.shard_id, self._days.of(each.market), house_too=False)
                for _, each in shown
            ],
            next_page_token=_encode(request, shown[-1][0]) if len(left) > size else "",
        )

    def _key(self, market: LiveMarket) -> tuple[int, str]:
        return -abs(self._days.of(market.market).change_micros), market.market_id


def _check(request: market_pb2.ListMarketsRequest) -> None:
    for name, longest in (("q", TEXT_MAX), ("category", CATEGORY_MAX)):
        value = getattr(request, name)
        if len(value) > longest or "\0" in value:
            raise bad_field(name, f"must be at most {longest} characters, without NUL")
    if request.status and request.status not in MarketStatus.__members__:
        raise bad_field("status", f"must be one of {', '.join(MarketStatus)}")
    if request.sort not in market_pb2.MarketSort.values():
        raise bad_field("sort", "is not one of MarketSort")


def _fits(market: Market, request: market_pb2.ListMarketsRequest) -> bool:
    if request.status and market.status != request.status:
        return False
    if request.category and market.category != request.category:
        return False
    text = f"{market.question} {market.description} {market.category}".lower()
    return all(word in text for word in request.q.lower().split())


def _filters(request: market_pb2.ListMarketsRequest) -> int:
    return crc32(json.dumps([request.q, request.category, request.status]).encode())


def _encode(request: market_pb2.ListMarketsRequest, key: tuple[int, str]) -> str:
    text = json.dumps(["movers", _filters(request), *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(request: market_pb2.ListMarketsRequest) -> tuple[int, str]:
    refusal = bad_field("page_token", "is not one that this list gave out")
    token = request.page_token
    if len(token) > TOKEN_MAX_CHARACTERS or not token.isascii():
        raise refusal
    try:
        padded = token + "=" * (-len(token) % 4)
        parts: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise refusal from None
    if not isinstance(parts, list) or len(parts) != 4 or parts[:2] != ["movers", _filters(request)]:
        raise refusal
    if type(parts[2]) is not int or not isinstance(parts[3], str):
        raise refusal
    return parts[2], parts[3]
