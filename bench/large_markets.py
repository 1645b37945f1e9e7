"""Restart with many open orders, and a settlement with many holders while another market of the shard trades.

The many rows are put into PostgreSQL directly, as trading would have left them; what is measured is the service's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import asyncpg
import uvloop

from bench import exchange, hot_market
from bench.exchange import ADMIN_ID, DATABASE, Exchange
from bench.optimistic import Tally
from bench.report import Arm, BenchError, Section, together
from engine.units import MICROS
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.grpc_client import open_channel

ORDERS, HOLDERS = 100_000, 100_000
ORDERS_QUICK, HOLDERS_QUICK = 5_000, 5_000
ORDERS_PER_USER = 200
OTHER_IN_FLIGHT = 2
SETTLE_SECONDS_MAX = 120.0

_ACCOUNTS = """
    INSERT INTO accounts (user_id, available_micros, locked_micros)
    SELECT ('0000000' || $1::text || '-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 0, $3::bigint
    FROM generate_series(0, $2::integer - 1) n
    ON CONFLICT (user_id) DO UPDATE SET locked_micros = excluded.locked_micros"""
_ORDERS = """
    INSERT INTO orders
    SELECT ('00000007-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, $1::uuid,
        ('00000006-0000-4000-8000-' || lpad((n / $3)::text, 12, '0'))::uuid, '', 'BUY', 'YES', 'LIMIT', 'GTC', false,
        'CANCEL_TAKER', 0, 1, price, 1000000, 0, 1000000, 0, 0, 0, 0, price, 'OPEN', '', 10000000 + n, 0, 1, 1
    FROM (SELECT n, 10000 * (1 + n % 40) AS price FROM generate_series(0, $2::integer - 1) n) made"""
_POSITIONS = """
    INSERT INTO positions
    SELECT $1::uuid, ('00000008-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 1000000, 1000000, 0, 0,
        500000, 500000, 0
    FROM generate_series(0, $2::integer - 1) n"""
_COLLATERAL = (
    "UPDATE markets SET collateral_micros = collateral_micros + $2::bigint WHERE market_id = $1::uuid"
)


def restart_section(quick: bool) -> Section:
    count = ORDERS_QUICK if quick else ORDERS
    return Section(
        title="Restart of order_service",
        note="From the start of the process until it owns its shards and a book read shows every order.",
        metrics=("seconds", "service MiB"),
        ours=(),
        arms=_restart_arms(count),
    )


def settlement_section(quick: bool) -> Section:
    return Section(
        title="Settlement",
        note="Resolve a market with many holders; market orders on another market of the shard meanwhile, and alone.",
        metrics=("other p99 ms", "other p50 ms", "other orders/s", "seconds to pay all"),
        ours=(),
        arms=_settlement_arms(HOLDERS_QUICK if quick else HOLDERS, 1.0 if quick else 5.0),
    )


@contextmanager
def _restart_arms(count: int) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        yield [Arm(f"{orders:,} open orders", partial(_restart, ours, orders)) for orders in (count, 0)]


@contextmanager
def _settlement_arms(holders: int, seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        yield [
            Arm(f"while {holders:,} holders are paid", partial(_settle, ours, holders)),
            Arm("nothing else", lambda: uvloop.run(_alone(ours, seconds))),
        ]


def _restart(ours: Exchange, orders: int) -> Mapping[str, float]:
    ours.stop()
    asyncio.run(seed_orders(ours, orders))
    started = time.perf_counter()
    ours.start()
    asyncio.run(_see_orders(ours, orders))
    return {"seconds": time.perf_counter() - started, "service MiB": ours.service_mebibytes()}


async def seed_orders(ours: Exchange, orders: int) -> None:
    """Resting bids for YES at 1 to 40 cents, a share each; order_service is not running."""
    connection = await asyncpg.connect(ours.postgres.url_for(DATABASE, "postgres"))
    try:
        await connection.execute("DELETE FROM orders WHERE market_id = $1", ours.market_id)
        users = -(-orders // ORDERS_PER_USER)
        locked = ORDERS_PER_USER // 40 * sum(10_000 * cents for cents in range(1, 41))
        await connection.execute(_ACCOUNTS, "6", users, locked)
        await connection.execute(_ORDERS, ours.market_id, orders, ORDERS_PER_USER)
        await connection.execute("ANALYZE orders")
    finally:
        await connection.close()


async def _see_orders(ours: Exchange, orders: int) -> None:
    await ours.wait_ready()
    async with open_channel(ours.address) as channel:
        stub = order_pb2_grpc.OrderServiceStub(channel)
        request = order_pb2.GetBookRequest(market_id=ours.market_id)
        book = await ours.ask(stub.GetBook, request, ours.users[0])
    if sum(level.quantity_micros for level in book.bids) != orders * MICROS:
        raise BenchError("the book after the restart is not the one before")


def _settle(ours: Exchange, holders: int) -> Mapping[str, float]:
    market_id = asyncio.run(ours.open_market("Settled?"))
    ours.stop()
    asyncio.run(_seed_holders(ours, market_id, holders))
    ours.start()
    asyncio.run(ours.wait_ready())
    other_id = asyncio.run(ours.open_market_beside(market_id))
    return uvloop.run(_settle_beside(ours, market_id, other_id, holders))


async def _seed_holders(ours: Exchange, market_id: str, holders: int) -> None:
    connection = await asyncpg.connect(ours.postgres.url_for(DATABASE, "postgres"))
    try:
        await connection.execute(_ACCOUNTS, "8", holders, 0)
        await connection.execute(_POSITIONS, market_id, holders)
        await connection.execute(_COLLATERAL, market_id, holders * MICROS)
        await connection.execute("ANALYZE positions")
    finally:
        await connection.close()


async def _settle_beside(ours: Exchange, market_id: str, other_id: str, holders: int) -> Mapping[str, float]:
    settled = asyncio.Event()
    tally = Tally()
    seconds: list[float] = []
    async with open_channel(ours.address) as channel:
        orders = order_pb2_grpc.OrderServiceStub(channel)
        markets = order_pb2_grpc.MarketAdminServiceStub(channel)

        async def decide() -> None:
            request = order_pb2.ResolveMarketRequest(
                market_id=market_id, outcome=order_pb2.VERDICT_YES, reason="bench"
            )
            await ours.ask(markets.ResolveMarket, request, ADMIN_ID, "admin")
            look = order_pb2.GetMarketRequest(market_id=market_id)
            while time.perf_counter() - started < SETTLE_SECONDS_MAX:
                answer = await ours.ask(orders.GetMarket, look, ADMIN_ID, "admin")
                if answer.market.settled:
                    seconds.append(time.perf_counter() - started)
                    settled.set()
                    return
                await asyncio.sleep(0.05)
            raise BenchError(f"not settled after {SETTLE_SECONDS_MAX} s")

        started = time.perf_counter()
        traders = [
            hot_market.trade_until(ours, orders, other_id, number, tally, settled.is_set)
            for number in range(OTHER_IN_FLIGHT)
        ]
        await together([decide(), *traders])
        elapsed = time.perf_counter() - started
    await _check_paid(ours, market_id, holders)
    return {**_other(tally, elapsed), "seconds to pay all": seconds[0]}


async def _alone(ours: Exchange, seconds: float) -> Mapping[str, float]:
    tally = Tally()
    async with open_channel(ours.address) as channel:
        orders = order_pb2_grpc.OrderServiceStub(channel)
        started = time.perf_counter()

        def is_over() -> bool:
            return time.perf_counter() > started + seconds

        await together(
            [
                hot_market.trade_until(ours, orders, ours.market_id, number, tally, is_over)
                for number in range(OTHER_IN_FLIGHT)
            ]
        )
        return _other(tally, time.perf_counter() - started)


def _other(tally: Tally, elapsed: float) -> Mapping[str, float]:
    figures = tally.figures(elapsed)
    return {
        "other p99 ms": figures["p99 ms"],
        "other p50 ms": figures["p50 ms"],
        "other orders/s": figures["trades/s"],
    }


async def _check_paid(ours: Exchange, market_id: str, holders: int) -> None:
    """Each holder once, one Point."""
    connection = await asyncpg.connect(ours.postgres.url_for(DATABASE, "postgres"))
    try:
        paid = await connection.fetchval(
            "SELECT count(*) FROM trade_ledger WHERE market_id = $1 AND kind = 'PAY_HOLDERS' AND points_micros = $2"
            " AND user_id IS NOT NULL",
            market_id,
            MICROS,
        )
    finally:
        await connection.close()
    if paid != holders:
        raise BenchError(f"{paid:,} of {holders:,} holders were paid")
