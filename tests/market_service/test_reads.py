"""Details, books, tickers, holders, solvency: what a reader sees is what order_service has just committed."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.market_service.support import Exchange, spend
from tests.market_service.traffic import quote_then_trade
from tests.order_service.support import POINT, limit, new_user

NO = common_pb2.OUTCOME_NO
DAY_MICROS = 86_400_000_000


async def test_what_was_answered_is_seen_at_once(exchange: Exchange) -> None:
    """Whether or not the bus has told of it."""
    ann, reader = new_user(), exchange.reader
    await exchange.orders.grant(ann)
    market_id = await exchange.orders.open_market(new_user())
    for number in range(1, 31):
        order = limit(market_id, 10 + number, 1)
        placed = await exchange.orders.ask("PlaceOrder", order, ann)
        book = await reader.book(market_id)
        assert book.seq == placed.order.seq
        assert [level.price_micros // 10_000 for level in book.bids] == list(range(10 + number, 10, -1))
        assert (await reader.ticker(market_id)).seq == placed.order.seq
        assert (await reader.market(market_id)).market.seq == placed.order.seq


async def test_a_replica_is_order_services_book(exchange: Exchange) -> None:
    await quote_then_trade(exchange, 60, 7)
    tickers = await exchange.reader.ask("ListTickers", market_pb2.ListTickersRequest())
    market_id = tickers.tickers[0].market_id
    ours = await exchange.reader.book(market_id)
    theirs = await exchange.orders.ask("GetBook", order_pb2.GetBookRequest(market_id=market_id), new_user())
    for name in ("seq", "epoch", "time", "pool_yes_micros", "pool_no_micros", "status"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for side in ("bids", "asks"):
        assert _plain(getattr(ours, side)) == _plain(getattr(theirs, side))
        assert {level.pool_micros for level in getattr(ours, side)} <= {0}
    details = (await exchange.reader.market(market_id)).market
    found = await exchange.orders.ask(
        "GetMarket", order_pb2.GetMarketRequest(market_id=market_id), new_user()
    )
    for name in ("volume_micros", "last_price_micros", "collateral_micros", "probability_micros", "seq"):
        assert getattr(details, name) == getattr(found.market, name), name


async def test_two_processes_agree(exchange: Exchange) -> None:
    await quote_then_trade(exchange, 40, 11)
    async with exchange.another() as other:
        await quote_then_trade(exchange, 40, 12)
        tickers = (await other.ask("ListTickers", market_pb2.ListTickersRequest())).tickers
        assert len(tickers) == 2
        for ticker in tickers:
            market_id = ticker.market_id
            quote = spend(market_id, 9 * POINT, with_impact=True)
            requests: list[tuple[str, Any]] = [
                ("GetBook", market_pb2.GetBookRequest(market_id=market_id, merged=True)),
                ("GetTicker", market_pb2.GetTickerRequest(market_id=market_id)),
                ("GetMarket", market_pb2.GetMarketRequest(market_id=market_id)),
                ("GetQuote", quote),
                ("ListHolders", market_pb2.ListHoldersRequest(market_id=market_id)),
            ]
            for method, request in requests:
                assert await exchange.reader.ask(method, request) == await other.ask(method, request), method


async def test_a_merged_book_says_what_each_of_the_two_has(exchange: Exchange) -> None:
    ann, ben = new_user(), new_user()
    await exchange.orders.grant(ann)
    await exchange.orders.grant(ben)
    market_id = await exchange.orders.open_market(new_user())
    await exchange.orders.ask("PlaceOrder", limit(market_id, 38, 4, outcome=NO), ann)
    await exchange.orders.ask("PlaceOrder", limit(market_id, 55, 7), ann)
    book = await exchange.reader.book(market_id, merged=True)
    asks, bids = list(book.asks), list(book.bids)
    assert [level.price_micros for level in asks] == list(range(610_000, 1_000_000, 10_000))
    assert [level.price_micros for level in bids] == list(range(590_000, 0, -10_000))
    for level in (*asks, *bids):
        assert level.quantity_micros == level.book_micros + level.pool_micros
        assert level.pool_micros > 0
    assert {level.price_micros: level.book_micros for level in (*asks, *bids) if level.book_micros} == {
        620_000: 4 * POINT,
        550_000: 7 * POINT,
    }
    wanted = sum(level.quantity_micros for level in asks[:3])
    order = limit(market_id, 63, 0, quantity_micros=wanted)
    placed = (await exchange.orders.ask("PlaceOrder", order, ben)).order
    lots = 3  # one for each part in which the router buys from the pool
    assert wanted - lots * 100 <= placed.filled_micros <= wanted


async def test_a_ticker_compares_with_a_day_ago(exchange: Exchange) -> None:
    ann = new_user()
    await exchange.orders.grant(ann)
    market_id = await exchange.orders.open_market(new_user())
    first = (await exchange.orders.ask("PlaceOrder", limit(market_id, 65, 100), ann)).order
    ticker = await exchange.reader.ticker(market_id)
    assert ticker.volume_24h_micros == ticker.volume_micros == first.filled_micros
    assert ticker.change_24h_micros == ticker.probability_micros - 600_000 > 0
    probability = ticker.probability_micros
    connection = await asyncpg.connect(exchange.database.superuser_url)
    await connection.execute("UPDATE trades SET time = time - $1", 2 * DAY_MICROS)
    await connection.close()
    second = (await exchange.orders.ask("PlaceOrder", limit(market_id, 70, 50), ann)).order
    async with exchange.another(redis_url="") as later:  # which has nothing in mind
        ticker = await later.ticker(market_id)
    assert ticker.volume_24h_micros == second.filled_micros
    assert ticker.volume_micros == first.filled_micros + second.filled_micros
    assert ticker.change_24h_micros == ticker.probability_micros - probability


async def test_holders_are_shown_by_name_the_largest_first(exchange: Exchange) -> None:
    users = [new_user() for _ in range(4)]
    market_id = await exchange.orders.open_market(new_user())
    connection = await asyncpg.connect(exchange.database.superuser_url)
    for number, user in enumerate(users, 1):
        await exchange.orders.grant(user)
        if number < 4:
            await exchange.orders.ask(
                "MintSets",
                order_pb2.MintSetsRequest(market_id=market_id, quantity_micros=number * POINT),
                user,
            )
            await connection.execute(
                "INSERT INTO users (user_id, email, display_name, role, grant_micros)"
                " VALUES ($1::uuid, $2, $3, 'user', 0)",
                user,
                f"secret-{number}@example.org",
                f"holder {number}",
            )
    await connection.close()

    async def page(token: str) -> market_pb2.ListHoldersResponse:
        request = market_pb2.ListHoldersRequest(market_id=market_id, page_size=2, page_token=token)
        answer: market_pb2.ListHoldersResponse = await exchange.reader.ask("ListHolders", request)
        return answer

    first = await page("")
    second = await page(first.next_page_token)
    found = [*first.holders, *second.holders]
    assert [(each.user_id, each.display_name) for each in found] == [
        (users[number - 1], f"holder {number}") for number in (3, 2, 1)
    ]
    assert [each.yes_micros for each in found] == [3 * POINT, 2 * POINT, POINT]
    assert (second.next_page_token, "secret" in str(found)) == ("", False)
    merge = order_pb2.MergeSetsRequest(market_id=market_id, quantity_micros=3 * POINT)
    await exchange.orders.ask("MergeSets", merge, users[2])
    assert [each.user_id for each in (await page("")).holders] == [users[1], users[0]]  # no cache in the way


async def test_every_share_is_backed(exchange: Exchange) -> None:
    await quote_then_trade(exchange, 30, 5)
    market_id = (
        (await exchange.reader.ask("ListTickers", market_pb2.ListTickersRequest())).tickers[0].market_id
    )
    found = await exchange.reader.ask("GetSolvency", market_pb2.GetSolvencyRequest(market_id=market_id))
    yes = found.users_yes_micros + found.pool_yes_micros + found.treasury_yes_micros
    no = found.users_no_micros + found.pool_no_micros + found.treasury_no_micros
    assert yes == no == found.collateral_micros > 0
    assert found.is_solvent


async def test_drafts_are_for_administrators(exchange: Exchange) -> None:
    admin, ann = new_user(), new_user()
    terms = order_pb2.MarketTerms(question="Not yet?", liquidity_micros=100 * POINT)
    created = await exchange.orders.admin("CreateMarket", order_pb2.CreateMarketRequest(terms=terms), admin)
    market_id = created.market.market_id
    requests = [
        ("GetMarket", market_pb2.GetMarketRequest(market_id=market_id)),
        ("GetBook", market_pb2.GetBookRequest(market_id=market_id)),
        ("GetTicker", market_pb2.GetTickerRequest(market_id=market_id)),
        ("ListHolders", market_pb2.ListHoldersRequest(market_id=market_id)),
        ("GetSolvency", market_pb2.GetSolvencyRequest(market_id=market_id)),
    ]
    for method, request in requests:
        assert await exchange.reader.ask(method, request, admin, "admin")
        for user in ("", ann):
            with pytest.raises(ApiError) as refused:
                await exchange.reader.ask(method, request, user)
            assert refused.value.code is ErrorCode.MARKET_NOT_FOUND, method
    tickers = market_pb2.ListTickersRequest(market_ids=[market_id])
    assert not (await exchange.reader.ask("ListTickers", tickers)).tickers
    assert (await exchange.reader.listed(), await exchange.reader.listed(status="DRAFT")) == ([], [])
    listed = await exchange.reader.ask("ListMarkets", market_pb2.ListMarketsRequest(), admin, "admin")
    assert [each.market.question for each in listed.markets] == ["Not yet?"]


async def test_a_decided_market_stays_readable(exchange: Exchange) -> None:
    admin, ann = new_user(), new_user()
    await exchange.orders.grant(ann)
    market_id = await exchange.orders.open_market(admin)
    await exchange.orders.ask("PlaceOrder", limit(market_id, 65, 10), ann)
    resolve = order_pb2.ResolveMarketRequest(
        market_id=market_id, outcome=order_pb2.VERDICT_YES, reason="seen"
    )
    await exchange.orders.admin("ResolveMarket", resolve, admin)
    assert (await exchange.reader.ticker(market_id)).status == "RESOLVED"
    assert (await exchange.reader.market(market_id)).market.outcome == "YES"
    assert (await exchange.reader.book(market_id)).status == "RESOLVED"
    assert await exchange.reader.listed(status="RESOLVED") == ["Will it?"]
    assert not (await exchange.reader.ask("ListTickers", market_pb2.ListTickersRequest())).tickers
    named = market_pb2.ListTickersRequest(market_ids=[market_id, new_user()])
    assert [each.market_id for each in (await exchange.reader.ask("ListTickers", named)).tickers] == [
        market_id
    ]


async def test_house_figures_are_for_administrators(exchange: Exchange) -> None:
    tally = await quote_then_trade(exchange, 20, 3)
    assert tally.placed
    request = market_pb2.GetMarketRequest(
        market_id=(await exchange.reader.ask("ListTickers", market_pb2.ListTickersRequest()))
        .tickers[0]
        .market_id
    )
    assert (
        await exchange.reader.ask("GetMarket", request, new_user(), "admin")
    ).market.market.vault_micros > 0
    assert (await exchange.reader.ask("GetMarket", request)).market.market.vault_micros == 0


def _plain(levels: Any) -> list[tuple[int, int]]:
    return [(level.price_micros, level.quantity_micros) for level in levels]
