"""Every call of the client on the running services, to the micro."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from predmarket_client import ApiError, Client, Order, limit, market, micros
from tests.api_gateway.support import Suite
from tests.client.support import Clients, open_market


async def test_the_published_case_to_the_micro(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin, 600, initial_probability_micros=600_000)
    ann, bob = await clients("ann"), await clients("bob")
    resting = limit("BUY", "NO", market_id, price_micros=micros("0.38"), quantity_micros=micros(4))
    assert (await bob.orders.place(resting)).is_open
    order = limit(
        "BUY",
        "YES",
        market_id,
        price_micros=micros("0.62"),
        quantity_micros=micros(50),
        client_order_id="a-1",
    )
    tried, dry = await ann.orders.quote(order), await ann.orders.dry_run(order)
    assert (tried.quantity_micros, tried.cost_micros, len(tried.legs)) == (46_230_700, 28_242_681, 2)
    assert (dry.filled_micros, dry.quote.total_micros) == (46_230_700, tried.total_micros)
    placed = await ann.orders.place(order)
    assert (placed.status, placed.filled_micros, placed.fee_micros) == (
        "PARTIALLY_FILLED",
        46_230_700,
        576_382,
    )
    assert [fill.venue for fill in placed.fills] == ["POOL", "BOOK"]
    assert await ann.orders.place(order) == placed  # the same client_order_id: the first answer
    assert (await ann.orders.get(placed.order_id)).fills == placed.fills
    portfolio = await ann.portfolio.get()
    position = portfolio.position(market_id)
    assert position is not None
    assert position.free_micros("YES") == 46_230_700
    assert portfolio.locked_micros == placed.locked_micros
    assert await ann.portfolio.positions().all() == [position]
    assert {fill.trade_id for fill in await ann.portfolio.fills(order_id=placed.order_id).all()} == {
        fill.trade_id for fill in placed.fills
    }
    ledger = await ann.portfolio.ledger().all()
    assert ledger[0].balance_after_micros == sum(row.points_micros for row in ledger)
    book = await ann.markets.book(market_id)
    assert (book.bids, book.asks) == (((620_000, 3_769_300),), ())
    assert {trade.venue for trade in await ann.markets.trades(market_id).all()} == {"POOL", "BOOK"}


async def test_amend_cancel_and_cancel_all(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")

    def bid(cents: int) -> Any:
        return limit("BUY", "YES", market_id, price_micros=cents * 10_000, quantity_micros=micros(5))

    placed = await ann.orders.place(bid(30))
    amended = await ann.orders.amend(placed.order_id, price_micros=310_000, quantity_micros=micros(3))
    assert (amended.order_id, amended.price_micros, amended.remaining_micros) == (
        placed.order_id,
        310_000,
        micros(3),
    )
    assert (await ann.orders.cancel(placed.order_id)).status == "CANCELLED"
    with pytest.raises(ApiError, match="ORDER_NOT_FOUND"):
        await ann.orders.cancel(placed.order_id)
    await ann.orders.place(bid(20))
    await ann.orders.place(bid(21))
    assert len(await ann.orders.list(open_only=True, market_id=market_id).all()) == 2
    assert len(await ann.orders.cancel_all(market_id)) == 2
    assert await ann.orders.list(open_only=True).all() == []


async def test_one_bad_order_of_a_batch_spoils_no_other(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    orders = [
        limit("BUY", "YES", market_id, price_micros=300_000, quantity_micros=micros(1)),
        limit("BUY", "YES", market_id, price_micros=300_001, quantity_micros=micros(1)),
        market("BUY", "NO", market_id, amount_micros=micros(2)),
    ]
    first, second, third = await ann.orders.place_all(orders)
    assert isinstance(first, Order)
    assert isinstance(second, ApiError)
    assert isinstance(third, Order)
    assert (first.status, second.code, third.status) == ("OPEN", "PRICE_NOT_ON_TICK", "FILLED")
    with pytest.raises(ValueError):
        await ann.orders.place_all([])


async def test_mint_sell_close_and_merge(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    assert (await ann.orders.mint(market_id, micros(10))).quantity_micros == micros(10)
    assert (await ann.orders.merge(market_id, micros(4))).quantity_micros == micros(4)
    sold = await ann.orders.place(market("SELL", "YES", market_id, close_position=True, max_slippage_bps=500))
    assert sold.filled_micros == micros(6)


async def test_lists_are_walked_page_by_page(admin: Client, clients: Clients) -> None:
    opened = [await open_market(admin, 10) for _ in range(5)]
    async with Client(clients.suite.url) as nobody:
        found = [row.market_id async for row in nobody.markets.list(page_rows=2)]
        assert found == opened[::-1]
        page = await nobody.markets.list(page_rows=2, status="ACTIVE").page()
        assert (len(page.items), page.next_cursor is None) == (2, False)
        assert len(await nobody.markets.list(page_rows=2).all(rows_max=3)) == 3
        assert (await nobody.markets.get(opened[0])).question == "Will it?"


async def test_an_administrator_opens_edits_settles_grants_and_sweeps(
    admin: Client, clients: Clients
) -> None:
    ann = await clients("ann")
    closes_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    draft = await admin.admin.create_market("First?", liquidity_micros=micros(100), closes_at=closes_at)
    assert (draft.status, draft.closes_at) == ("DRAFT", closes_at)
    edited = await admin.admin.edit_market(draft.market_id, {"question": "Second?", "closes_at": None})
    assert (edited.question, edited.closes_at) == ("Second?", None)
    unwanted = await admin.admin.create_market("Unwanted?", liquidity_micros=micros(100))
    await admin.admin.delete_market(unwanted.market_id)
    assert (await admin.admin.activate(draft.market_id, dry_run=True)).status == "ACTIVE"
    await admin.admin.activate(draft.market_id)
    await ann.orders.place(
        market("BUY", "YES", draft.market_id, amount_micros=micros(2), max_slippage_bps=900)
    )
    assert (await admin.admin.pause(draft.market_id)).status == "PAUSED"
    assert (await admin.admin.resume(draft.market_id)).status == "ACTIVE"
    assert (await admin.admin.sweep(draft.market_id)).swept_micros == 20_000
    tried = await admin.admin.resolve(draft.market_id, "YES", reason="seen", dry_run=True)
    assert (tried.settlement.holders, len(tried.settlement.payouts)) == (1, 1)
    assert (await admin.admin.resolve(draft.market_id, "YES", reason="seen")).status == "RESOLVED"
    async with asyncio.timeout(20):
        while not (await admin.markets.get(draft.market_id)).settled:
            await asyncio.sleep(0.05)
    other = await open_market(admin)
    assert (await admin.admin.cancel(other, reason="ill-posed")).status == "CANCELLED"
    me = await ann.accounts.me()
    granted = await admin.admin.grant(me.user_id, micros(7), kind="REWARD", reason="thanks")
    assert granted.available_micros == (await ann.portfolio.get()).available_micros
    assert (await admin.admin.audit(target=draft.market_id).all())[0].action


async def test_everybody_may_ask_for_time_and_version(suite: Suite) -> None:
    async with Client(suite.url) as nobody:
        assert (await nobody.version()).api == "v1"
        assert abs(await nobody.time() - datetime.now(UTC)) < timedelta(minutes=1)
        with pytest.raises(ApiError, match="UNAUTHENTICATED"):
            await nobody.portfolio.get()
