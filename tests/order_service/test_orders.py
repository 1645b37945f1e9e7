"""Orders through gRPC to PostgreSQL and back."""

from __future__ import annotations

import asyncio

import asyncpg
import orjson
import pytest

from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import POINT, Client, limit, new_user
from tests.servers import Database


async def test_the_example_of_the_protocol(client: Client) -> None:
    admin, maker, taker = new_user(), new_user(), new_user()
    market = await client.open_market(admin)
    await client.grant(maker)
    await client.grant(taker)
    await client.ask("PlaceOrder", limit(market, 38, 4, outcome=common_pb2.OUTCOME_NO), maker)
    placed = (await client.ask("PlaceOrder", limit(market, 62, 50), taker)).order
    assert (placed.status, placed.filled_micros, placed.cost_micros, placed.fee_micros) == (
        "PARTIALLY_FILLED",
        46_230_700,
        28_242_681,
        576_382,
    )
    assert placed.locked_micros == 2_336_966
    assert [fill.venue for fill in placed.fills] == ["POOL", "BOOK"]
    book = await client.ask("GetBook", order_pb2.GetBookRequest(market_id=market), taker)
    assert [(level.price_micros, level.quantity_micros) for level in book.bids] == [(620_000, 3_769_300)]
    assert book.seq == book.last_trade_seq == placed.seq


async def test_a_cancelled_order_gives_back_what_it_locked(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    placed = (await client.ask("PlaceOrder", limit(market, 50, 10), user)).order
    assert placed.status == "OPEN"
    cancel = order_pb2.CancelOrderRequest(order_id=placed.order_id)
    cancelled = (await client.ask("CancelOrder", cancel, user)).order
    assert (cancelled.status, cancelled.locked_micros) == ("CANCELLED", 0)
    with pytest.raises(ApiError) as refused:
        await client.ask("CancelOrder", cancel, user)
    assert refused.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_the_same_key_has_one_effect_and_one_answer(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    request = limit(market, 50, 10, idempotency_key="k1")
    first, again = await asyncio.gather(*(client.ask("PlaceOrder", request, user) for _ in range(2)))
    assert first.order == again.order
    assert {first.replayed, again.replayed} == {False, True}
    later = await client.ask("PlaceOrder", request, user)
    assert later.order == first.order
    assert later.replayed
    with pytest.raises(ApiError) as refused:
        await client.ask("PlaceOrder", limit(market, 51, 10, idempotency_key="k1"), user)
    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_a_client_order_id_is_a_key(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    request = limit(market, 50, 10, client_order_id="a-1")
    first = await client.ask("PlaceOrder", request, user)
    assert (await client.ask("PlaceOrder", request, user)).order == first.order


async def test_one_bad_item_of_a_batch_is_refused_alone(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    commands = [order_pb2.OrderCommand(place=limit(market, 10 + i % 40, 1)) for i in range(200)]
    commands[77].place.side = 99  # type: ignore[assignment]
    request = order_pb2.SubmitCommandsRequest(commands=commands, idempotency_key="batch")
    results = (await client.ask("SubmitCommands", request, user)).results
    assert [index for index, result in enumerate(results) if result.HasField("error")] == [77]
    assert results[77].error.code == "INVALID_ARGUMENT"
    again = (await client.ask("SubmitCommands", request, user)).results
    assert all(result.replayed for index, result in enumerate(again) if index != 77)


async def test_a_dry_run_quotes_and_changes_nothing(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    request = limit(market, 65, 10, dry_run=True)
    quoted = await client.ask("PlaceOrder", request, user)
    assert quoted.quote.quantity_micros == 10 * POINT
    assert quoted.quote.probability_after_micros > quoted.quote.probability_before_micros
    request.dry_run = False
    placed = await client.ask("PlaceOrder", request, user)
    assert placed.order.cost_micros == quoted.quote.cost_micros
    assert placed.order.seq == quoted.quote.valid_seq + 1


async def test_points_are_spent_once_over_all_shards(client: Client) -> None:
    admin, user = new_user(), new_user()
    markets = [await client.open_market(admin) for _ in range(4)]
    await client.grant(user, 10)
    results = await asyncio.gather(
        *(client.ask("PlaceOrder", limit(market, 50, 16), user) for market in markets for _ in range(4)),
        return_exceptions=True,
    )
    accepted = [result for result in results if not isinstance(result, BaseException)]
    assert len(accepted) == 1
    codes = {error.code for error in results if isinstance(error, ApiError)}
    assert codes == {ErrorCode.INSUFFICIENT_FUNDS}


async def test_resolving_pays_every_holder(client: Client) -> None:
    admin, user = new_user(), new_user()
    market = await client.open_market(admin)
    await client.grant(user)
    await client.ask("PlaceOrder", limit(market, 70, 10), user)
    await client.ask("PlaceOrder", limit(market, 10, 10), user)
    decide = order_pb2.ResolveMarketRequest(market_id=market, outcome=order_pb2.VERDICT_YES, dry_run=True)
    shown = await client.admin("ResolveMarket", decide, admin)
    assert [payout.user_id for payout in shown.settlement.payouts] == [user]
    decide.dry_run = False
    await client.admin("ResolveMarket", decide, admin)
    async with asyncio.timeout(10):
        while True:
            found = await client.ask("GetMarket", order_pb2.GetMarketRequest(market_id=market), user)
            if found.market.settled:
                break
            await asyncio.sleep(0.05)
    assert found.market.collateral_micros == 0


async def test_bad_input_is_refused_with_its_field(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    for bad in (
        {"price_micros": -1},
        {"quantity_micros": 2**63 - 1},
        {"type": 99},
        {"max_slippage_bps": 10_001},
        {"expires_at": -5},
        {"client_order_id": "x" * 65},
        {"client_order_id": "a\x00b"},
        {"idempotency_key": "k" * 201},
        {"market_id": market.upper()},
    ):
        request = limit(market, 50, 1)
        for name, value in bad.items():
            setattr(request, name, value)
        with pytest.raises(ApiError) as refused:
            await client.ask("PlaceOrder", request, user)
        assert refused.value.code is ErrorCode.INVALID_ARGUMENT, bad


async def test_a_user_may_not_do_what_an_admin_may(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    pause = order_pb2.PauseMarketRequest(market_id=market)
    with pytest.raises(ApiError) as refused:
        await client.ask("PauseMarket", pause, user, service="MarketAdminService")
    assert refused.value.code is ErrorCode.FORBIDDEN


async def test_what_an_admin_changes_is_in_the_audit_log_with_before_and_after(
    client: Client, fresh_database: Database
) -> None:
    admin, user = new_user(), new_user()
    market = await client.open_market(admin)
    pause = order_pb2.PauseMarketRequest(market_id=market)
    await client.admin("PauseMarket", pause, admin)
    for points in (5, 7):
        request = order_pb2.GrantPointsRequest(
            idempotency_key=new_user(), user_id=user, kind="REWARD", amount_micros=points, reason="a prize"
        )
        await client.ask("GrantPoints", request, admin, "admin", "PointsService")
    connection = await asyncpg.connect(fresh_database.superuser_url)
    rows = await connection.fetch(
        "SELECT target, reason, before, after FROM audit_log WHERE actor_id = $1 ORDER BY audit_id", admin
    )
    await connection.close()
    shown = [
        (row["target"], row["reason"], *(orjson.loads(row[name] or "null") for name in ("before", "after")))
        for row in rows
    ]
    created, _activated, paused, first, second = shown
    assert created[2] is None
    assert created[3]["question"] == "Will it?"
    assert paused[2:] == (
        {"status": "ACTIVE", "reason": ""},
        {"status": "PAUSED", "reason": "PAUSED_BY_ADMIN"},
    )
    assert first == (user, "a prize", {"available_micros": 0}, {"available_micros": 5})
    assert second == (user, "a prize", {"available_micros": 5}, {"available_micros": 12})
