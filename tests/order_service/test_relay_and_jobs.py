"""What reaches the bus, what the engine's own jobs do, streams of commands, and keys over several shards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import orjson
import pytest

from launcher.embedded import NatsServer
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.bus import open_bus
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import (
    POINT,
    Client,
    Issuer,
    limit,
    new_user,
    place_until_answered,
    run_service_here,
    settings_of,
    verify,
)
from tests.servers import Database


@asynccontextmanager
async def listening(nats_url: str, subject: str) -> AsyncIterator[list[Any]]:
    """Messages as they come."""
    heard: list[Any] = []

    async def hear(message: Any) -> None:
        heard.append(orjson.loads(message.data))

    async with open_bus(nats_url, name="test") as bus:
        await bus.subscribe(subject, cb=hear)
        await bus.flush()
        yield heard


async def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_the_bus_tells_every_event_in_a_chain(client: Client, nats_server: NatsServer) -> None:
    market, maker, taker = await client.open_market(new_user()), new_user(), new_user()
    async with (
        listening(nats_server.url, f"market.{market}.book") as books,
        listening(nats_server.url, f"market.{market}.trade") as trades,
        listening(nats_server.url, f"user.{taker}.events") as frames,
    ):
        await client.grant(maker)
        await client.grant(taker)
        await client.ask("PlaceOrder", limit(market, 38, 4, outcome=common_pb2.OUTCOME_NO), maker)
        first = (await client.ask("PlaceOrder", limit(market, 62, 50), taker)).order
        second = (await client.ask("PlaceOrder", limit(market, 70, 5), taker)).order
        await until(lambda: books and books[-1]["seq"] == second.seq)
        await until(lambda: len(trades) == 2)
        await until(lambda: frames and frames[-1]["seq"] == second.seq)
    for before, after in pairwise(books):
        assert after["prev_seq"] == before["seq"]
    levels = {(price, side): quantity for book in books for price, quantity, side in book["levels"]}
    assert {key: quantity for key, quantity in levels.items() if quantity} == {(620_000, "bid"): 3_769_300}
    assert trades[0]["prev_seq"] == 0
    assert trades[1]["prev_seq"] == trades[0]["seq"] == first.seq
    numbers = [frame["user_seq"] for each in frames for frame in each["frames"]]
    assert numbers == list(range(1, len(numbers) + 1))
    kinds = [frame["type"] for frame in frames[1]["frames"]]
    assert kinds == ["user.order", "user.fill", "user.fill", "user.position", "user.balance"]


async def test_orders_expire_and_markets_close(client: Client) -> None:
    user = new_user()
    soon = time.time_ns() // 1_000 + 1_500_000
    market = await client.open_market(new_user(), closes_at=soon + 1_000_000)
    await client.grant(user)
    expiring = limit(market, 50, 10, time_in_force=order_pb2.TIME_IN_FORCE_GTD, expires_at=soon)
    await client.ask("PlaceOrder", expiring, user)
    await client.ask("PlaceOrder", limit(market, 49, 10), user)
    open_orders = order_pb2.ListOpenOrdersRequest(market_id=market)
    counts = set()
    async with asyncio.timeout(15):
        while 0 not in counts:
            counts.add(len((await client.ask("ListOpenOrders", open_orders, user)).orders))
            await asyncio.sleep(0.05)
    assert counts == {0, 1, 2}
    found = (await client.ask("GetMarket", order_pb2.GetMarketRequest(market_id=market), user)).market
    assert (found.status, found.reason) == ("PAUSED", "CLOSED")


async def test_a_market_that_an_administrator_has_paused_closes_at_its_time_too(client: Client) -> None:
    admin, user = new_user(), new_user()
    market = await client.open_market(admin, closes_at=time.time_ns() // 1_000 + 1_500_000)
    await client.grant(user)
    order = (await client.ask("PlaceOrder", limit(market, 50, 10), user)).order
    await client.admin("PauseMarket", order_pb2.PauseMarketRequest(market_id=market), admin)
    open_orders = order_pb2.ListOpenOrdersRequest(market_id=market)
    async with asyncio.timeout(15):
        while (await client.ask("ListOpenOrders", open_orders, user)).orders:
            await asyncio.sleep(0.05)
    found = (await client.ask("GetMarket", order_pb2.GetMarketRequest(market_id=market), user)).market
    assert (found.status, found.reason) == ("PAUSED", "CLOSED")
    cancel = order_pb2.CancelOrderRequest(order_id=order.order_id)
    with pytest.raises(ApiError) as refused:
        await client.ask("CancelOrder", cancel, user)
    assert refused.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_a_stream_of_commands_is_answered_in_order(client: Client) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)

    async def requests() -> AsyncIterator[order_pb2.TradeRequest]:
        for number in range(100):
            command = order_pb2.OrderCommand(place=limit(market, 10 + number % 40, 1))
            yield order_pb2.TradeRequest(request_id=number, command=command)
        cancel = order_pb2.CancelOrderRequest(order_id=new_user())
        yield order_pb2.TradeRequest(request_id=100, command=order_pb2.OrderCommand(cancel=cancel))

    authorization = [("authorization", f"Bearer {client.issuer.token(user)}")]
    stream = client.stub("OrderService").Trade(requests(), timeout=20, metadata=authorization)
    answers = [answer async for answer in stream]
    assert [answer.request_id for answer in answers] == list(range(101))
    assert answers[-1].result.error.code == "ORDER_NOT_FOUND"
    seqs = [answer.result.order.seq for answer in answers[:-1]]
    assert seqs == sorted(set(seqs))


async def test_items_of_a_batch_may_be_of_several_users(client: Client) -> None:
    market, users = await client.open_market(new_user()), [new_user(), new_user()]
    for user in users:
        await client.grant(user)
    commands = [
        order_pb2.OrderCommand(place=limit(market, 50, 1), access_token=client.issuer.token(user))
        for user in users
    ]
    commands.append(order_pb2.OrderCommand(place=limit(market, 50, 1), access_token="nonsense"))
    commands.append(order_pb2.OrderCommand(place=limit(market, 50, 1)))
    request = order_pb2.SubmitCommandsRequest(commands=commands)
    results = (await client.ask("SubmitCommands", request, new_user(), "service")).results
    assert [result.order.user_id for result in results[:2]] == users
    assert [result.error.code for result in results[2:]] == ["UNAUTHENTICATED", "FORBIDDEN"]


async def test_keys_in_opposite_order_on_two_processes_have_one_effect_each(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url = fresh_database.url_for("pm_order")
    first = settings_of(url, nats_server.url, issuer.url, order_shards="0,1")
    second = settings_of(url, nats_server.url, issuer.url, order_shards="2,3", instance="order_service-2")
    async with run_service_here(issuer, first) as one, run_service_here(issuer, second) as other:
        admin, user = new_user(), new_user()
        markets = [await one.open_market(admin), await other.open_market(admin)]
        await one.grant(user)
        await other.grant(user)
        for round_number in range(10):
            keys = [f"{round_number}-a", f"{round_number}-b"]
            batches = []
            for service, market, order in ((one, markets[0], keys), (other, markets[1], keys[::-1])):
                places = [limit(market, 50, 1, idempotency_key=key) for key in order]
                commands = [order_pb2.OrderCommand(place=place) for place in places]
                request = order_pb2.SubmitCommandsRequest(commands=commands)
                batches.append(service.ask("SubmitCommands", request, user))
            results = [result for batch in await asyncio.gather(*batches) for result in batch.results]
            assert sum(result.HasField("order") for result in results) == 2
            errors = {result.error.code for result in results if result.HasField("error")}
            assert errors == {"IDEMPOTENCY_KEY_REUSED"}
        await the_other_process_is_named(one, markets[1], user, other.address)
    await verify(fresh_database.superuser_url)


async def the_other_process_is_named(client: Client, market: str, user: str, address: str) -> None:
    with pytest.raises(ApiError) as refused:
        await client.ask("PlaceOrder", limit(market, 50, 1), user)
    assert refused.value.code is ErrorCode.NOT_SHARD_OWNER
    assert refused.value.details["address"] == address


async def test_first_grants_are_paid_once_by_whichever_process(client: Client) -> None:
    user = new_user()
    first = await client.grant(user)
    again = await client.grant(user)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.available_micros == 10_000 * POINT


async def test_a_restarted_database_is_found_again(
    issuer: Issuer, private_database: Database, nats_server: NatsServer
) -> None:
    fields = settings_of(private_database.url_for("pm_order"), nats_server.url, issuer.url, lease_seconds=5.0)
    async with run_service_here(issuer, fields) as client:
        market, user = await client.open_market(new_user()), new_user()
        await client.grant(user)
        await asyncio.to_thread(private_database.server.kill)
        began = time.monotonic()
        with pytest.raises(ApiError) as refused:
            await client.ask("PlaceOrder", limit(market, 50, 1, idempotency_key="k"), user)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert time.monotonic() - began < 5
        await asyncio.to_thread(private_database.server.start)
        await place_until_answered(client, limit(market, 50, 1, idempotency_key="k"), user)
    await verify(private_database.superuser_url)
