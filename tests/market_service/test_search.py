"""Lists: by words, category and status, in each order, page by page; cached, and never behind a change of status."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.market_service.support import Exchange, until
from tests.order_service.support import POINT, limit, new_user

FAR = 4_000_000_000_000_000
SORTS = {
    "newest": market_pb2.MARKET_SORT_NEWEST,
    "volume": market_pb2.MARKET_SORT_VOLUME,
    "closing": market_pb2.MARKET_SORT_CLOSING,
    "movers": market_pb2.MARKET_SORT_MOVERS,
}


async def some_markets(exchange: Exchange) -> dict[str, str]:
    """By question: rain (category weather) closes last, moved up a little; snow (weather) closes first, moved down
    most; goals (sport) never closes, is traded most and hardly moved."""
    ann, admin = new_user(), new_user()
    await exchange.orders.grant(ann)
    terms: dict[str, dict[str, Any]] = {
        "Rain in Bern?": {"category": "weather", "closes_at": FAR + 2},
        "SNOW in Rome?": {"category": "weather", "closes_at": FAR, "description": "a centimetre, 100% sure_"},
        "Goals?": {"category": "sport", "liquidity_micros": 50_000 * POINT},
    }
    found = {
        name: await exchange.orders.open_market(admin, question=name, **fields)
        for name, fields in terms.items()
    }
    for name, price, quantity, outcome in (
        ("Rain in Bern?", 62, 30, 1),
        ("SNOW in Rome?", 48, 100, 2),
        ("Goals?", 70, 900, 1),
    ):
        order = limit(
            found[name], price, quantity, outcome=outcome, time_in_force=order_pb2.TIME_IN_FORCE_IOC
        )
        await exchange.orders.ask("PlaceOrder", order, ann)
    return found


async def test_lists_come_in_each_order(exchange: Exchange) -> None:
    await some_markets(exchange)
    rain, snow, goals = "Rain in Bern?", "SNOW in Rome?", "Goals?"
    expected = {
        "newest": [goals, snow, rain],
        "volume": [goals, snow, rain],
        "closing": [snow, rain, goals],
        "movers": [snow, rain, goals],
    }
    for sort, names in expected.items():
        assert await exchange.reader.listed(sort=SORTS[sort]) == names, sort
        found, token = [], ""
        while True:
            request = market_pb2.ListMarketsRequest(sort=SORTS[sort], page_size=1, page_token=token)
            page = await exchange.reader.ask("ListMarkets", request)
            found += [each.market.question for each in page.markets]
            token = page.next_page_token
            if not token:
                break
        assert found == names, sort


async def test_words_categories_and_statuses_choose(exchange: Exchange) -> None:
    markets = await some_markets(exchange)
    for sort in SORTS.values():
        for words, names in {
            "snow": ["SNOW in Rome?"],
            "IN rain": ["Rain in Bern?"],
            "rain rome": [],
            "weather centimetre": ["SNOW in Rome?"],
            "100%": ["SNOW in Rome?"],
            "sure_": ["SNOW in Rome?"],
            "'; DROP TABLE markets --": [],
        }.items():
            assert await exchange.reader.listed(q=words, sort=sort) == names, (words, sort)
        assert set(await exchange.reader.listed(category="weather", sort=sort)) == {
            "Rain in Bern?",
            "SNOW in Rome?",
        }
        assert await exchange.reader.listed(category="Weather", sort=sort) == []
    pause = order_pb2.PauseMarketRequest(market_id=markets["Goals?"])
    await exchange.orders.admin("PauseMarket", pause, new_user())
    await until(lambda: _is(exchange, ["Goals?"], status="PAUSED"))
    await until(lambda: _is(exchange, ["Goals?"], status="PAUSED", sort=SORTS["movers"]))


async def test_a_list_is_cached_until_a_status_changes(exchange: Exchange) -> None:
    markets = await some_markets(exchange)
    names = await exchange.reader.listed(sort=SORTS["closing"])
    connection = await asyncpg.connect(exchange.database.superuser_url)
    await connection.execute("UPDATE markets SET question = 'Rewritten?' WHERE category = 'sport'")
    async with exchange.another() as other:
        for reader in (exchange.reader, other):
            assert await reader.listed(sort=SORTS["closing"]) == names  # of the cache, which both share
    pause = order_pb2.PauseMarketRequest(market_id=markets["SNOW in Rome?"])
    await exchange.orders.admin("PauseMarket", pause, new_user())
    changed = ["SNOW in Rome?", "Rain in Bern?", "Rewritten?"]
    await until(lambda: _is(exchange, changed, sort=SORTS["closing"]), seconds=4)
    await connection.close()


BAD_LISTS: tuple[dict[str, Any], ...] = (
    {"page_size": -1},
    {"page_size": 201},
    {"page_token": "x"},
    {"page_token": "A" * 600},
    {"page_token": "é"},
    {"q": "x" * 101},
    {"q": "a\0b"},
    {"category": "x" * 61},
    {"status": "OPEN"},
    {"sort": 99},
)


async def test_what_no_list_takes_is_refused(exchange: Exchange) -> None:
    for fields in BAD_LISTS:
        for sort in {fields.get("sort", 0), fields.get("sort", SORTS["movers"])}:
            request = market_pb2.ListMarketsRequest(**{**fields, "sort": sort})
            with pytest.raises(ApiError) as refused:
                await exchange.reader.ask("ListMarkets", request)
            assert refused.value.code is ErrorCode.INVALID_ARGUMENT, fields


async def test_a_page_token_belongs_to_its_list(exchange: Exchange) -> None:
    await some_markets(exchange)
    tokens = {}
    for name, sort in SORTS.items():
        request = market_pb2.ListMarketsRequest(sort=sort, page_size=1)
        tokens[name] = (await exchange.reader.ask("ListMarkets", request)).next_page_token
    for name, sort in SORTS.items():
        for other, token in tokens.items():
            request = market_pb2.ListMarketsRequest(
                sort=sort, page_token=token, category="" if other != name else "x"
            )
            with pytest.raises(ApiError) as refused:
                await exchange.reader.ask("ListMarkets", request)
            assert refused.value.code is ErrorCode.INVALID_ARGUMENT, (name, other)


async def _is(exchange: Exchange, names: list[str], **fields: Any) -> bool:
    return await exchange.reader.listed(**fields) == names
