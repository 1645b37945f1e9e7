"""A market with ten thousand holders is settled beside another of its shard, and the process killed in between."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import asyncpg

from launcher.embedded import NatsServer
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from tests.order_service.support import (
    POINT,
    Client,
    Issuer,
    limit,
    new_user,
    place_until_answered,
    settings_of,
    start_process,
    verify,
)
from tests.servers import Database

HOLDERS = 10_000
IN_FLIGHT = 128
STEP = 100
BATCH = 250
OFFER_CENTS = 60
"""Where the pool stands: it sells nothing at this price."""

ORDERS_BESIDE = 5
OTHER_SECONDS = 2.0
"""Ten times what an order on the other market may take at its 99th percentile."""


async def test_ten_thousand_holders_are_paid_once_though_it_is_killed_in_between(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    fields = settings_of(
        fresh_database.url_for("pm_order"), nats_server.url, issuer.url, settlement_step=STEP
    )
    connection = await asyncpg.connect(fresh_database.superuser_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        client = Client(issuer, f"127.0.0.1:{fields['grpc_port']}", stack)
        process = await start_process(fields)
        admin, trader = new_user(), new_user()
        market = await client.open_market(admin)
        other = await _market_beside(client, market)
        holders = [new_user() for _ in range(HOLDERS)]
        await client.grant(trader)
        await _in_turns(holders, lambda user: client.grant(user, 2))
        await _hold(client, market, holders)

        settled = asyncio.Event()
        seconds: list[float] = []
        trading = asyncio.create_task(_trade(client, other, trader, settled, seconds))
        decide = order_pb2.ResolveMarketRequest(market_id=market, outcome=order_pb2.VERDICT_YES)
        await client.admin("ResolveMarket", decide, admin)
        await _until(connection, market, lambda paid, _: paid > 0)
        wanted = len(seconds) + ORDERS_BESIDE
        await _until(connection, market, lambda *_: len(seconds) >= wanted)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert 0 < await connection.fetchval(_PAID, market) < HOLDERS, "it was killed in between"
        process = await start_process(fields)
        await _until(connection, market, lambda _, is_settled: is_settled)
        settled.set()
        await trading
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

        paid = await connection.fetch(
            "SELECT user_id, points_micros FROM trade_ledger"
            " WHERE market_id = $1 AND kind = 'PAY_HOLDERS' AND user_id = ANY($2::uuid[])",
            market,
            holders,
        )
        assert sorted(str(row["user_id"]) for row in paid) == sorted(holders), "each once"
        assert {row["points_micros"] for row in paid} == {POINT}
        *others, _ = sorted(seconds)  # one order met the killed process and waited for the next
        assert len(others) >= ORDERS_BESIDE
        assert max(others) < OTHER_SECONDS
    await verify(fresh_database.superuser_url)


_PAID = "SELECT holders_paid FROM markets WHERE market_id = $1"


async def _market_beside(client: Client, market: str) -> str:
    """Another market of the same shard."""
    wanted = await _shard_of(client, market)
    for _ in range(8):
        other = await client.open_market(new_user())
        if await _shard_of(client, other) == wanted:
            return other
    raise AssertionError("eight new markets went to other shards")


async def _shard_of(client: Client, market: str) -> int:
    request = order_pb2.ListShardsRequest(market_id=market)
    answer = await client.ask("ListShards", request, new_user(), service="ShardService")
    shard: int = answer.market_shard
    return shard


async def _hold(client: Client, market: str, holders: Sequence[str]) -> None:
    """A YES each, all of one seller who keeps the NO, in batches."""
    seller, quantity = new_user(), len(holders)
    await client.grant(seller, quantity)
    mint = order_pb2.MintSetsRequest(market_id=market, quantity_micros=quantity * POINT)
    await client.ask("MintSets", mint, seller)
    offer = limit(market, OFFER_CENTS, quantity, side=common_pb2.SIDE_SELL)
    assert (await client.ask("PlaceOrder", offer, seller)).order.status == "OPEN"
    for first in range(0, quantity, BATCH):
        commands = [
            order_pb2.OrderCommand(
                place=limit(market, OFFER_CENTS, 1), access_token=client.issuer.token(holder)
            )
            for holder in holders[first : first + BATCH]
        ]
        batch = order_pb2.SubmitCommandsRequest(commands=commands)
        results = (await client.ask("SubmitCommands", batch, seller)).results
        assert {result.order.status for result in results} == {"FILLED"}


async def _in_turns(users: Sequence[str], do: Callable[[str], Awaitable[object]]) -> None:
    """For every user, so many at once."""
    waiting = iter(users)

    async def work() -> None:
        for user in waiting:
            await do(user)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _trade(client: Client, market: str, user: str, stop: asyncio.Event, seconds: list[float]) -> None:
    """One order after the other; appends how long each took to be answered."""
    while not stop.is_set():
        started = time.perf_counter()
        await place_until_answered(client, limit(market, 70, 1, idempotency_key=new_user()), user)
        seconds.append(time.perf_counter() - started)


async def _until(
    connection: asyncpg.Connection[asyncpg.Record], market: str, condition: Callable[[int, bool], bool]
) -> None:
    """Of the market's row: holders paid, and whether it is settled."""
    async with asyncio.timeout(150):
        while True:
            row = await connection.fetchrow(
                "SELECT holders_paid, settled FROM markets WHERE market_id = $1", market
            )
            assert row is not None
            if condition(row["holders_paid"], row["settled"]):
                return
            await asyncio.sleep(0.01)
