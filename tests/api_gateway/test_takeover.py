"""A shard changes hands under load of bots with API keys: no request fails that may safely be made again."""

import asyncio
import signal
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from launcher.embedded import NatsServer, RedisServer
from runtime.ports import free_port
from tests.api_gateway.support import POINT, UNLIMITED, Reply, Suite, User, open_market, run_suite
from tests.order_service.support import start_process, verify
from tests.servers import Database

BOTS = 12
STANDBY_LEASE_SECONDS = 10.0
"""Twice as long the suite's own process leaves the other one to come up and take its shards."""
LEASE_SECONDS = 1.5
LOAD_SECONDS = 1.0
"""Before the takeover, and after it."""
TAKEN_OVER_SECONDS = 30.0
MARKETS_MAX = 20


@dataclass(slots=True)
class Load:
    """What bots sent, and were answered."""

    orders: dict[str, str] = field(default_factory=dict)
    """Ids by key."""
    failed: list[Reply] = field(default_factory=list)
    slowest_seconds: float = 0.0
    is_over: bool = False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
async def test_no_request_with_a_key_fails_while_a_shard_changes_hands(
    fresh_database: Database, nats_server: NatsServer, redis_server: RedisServer, end: signal.Signals
) -> None:
    first, second = free_port(), free_port()
    settings = {
        "redis_url": redis_server.url,
        "lease_seconds": STANDBY_LEASE_SECONDS,
        "order_grpc": f"127.0.0.1:{first},127.0.0.1:{second}",
        **UNLIMITED,
    }
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as suite:
        owner = await _second_process(suite, second)
        try:
            market_id = await _market_of(suite, "order_service-2")
            load = Load()
            bots = [await _bot(suite) for _ in range(BOTS)]
            work = [asyncio.create_task(_trade(bot, market_id, load)) for bot in bots]
            await asyncio.sleep(LOAD_SECONDS)
            before = len(load.orders)
            owner.send_signal(end)
            await _until_taken_over(suite, market_id)
            async with asyncio.timeout(10 * LOAD_SECONDS + 20):
                while len(load.orders) <= before:
                    await asyncio.sleep(0.1)
            load.is_over = True
            await asyncio.gather(*work)
        finally:
            if owner.returncode is None:
                owner.kill()
            await owner.wait()
        print(f"{before} orders, then {len(load.orders) - before}; slowest {load.slowest_seconds:.1f} s")
        assert [(reply.status, reply.code) for reply in load.failed] == []
        assert 0 < before < len(load.orders)
        await _check_each_order_is_there_once(suite, load)
    await verify(fresh_database.superuser_url)


async def _second_process(suite: Suite, port: int) -> asyncio.subprocess.Process:
    """Prefers the shards that the suite's own process only stands by for."""
    fields = {
        **suite.shared,
        "database_url": suite.database.url_for("pm_order"),
        "grpc_port": port,
        "instance": "order_service-2",
        "lease_seconds": LEASE_SECONDS,
        "order_shards": "1,2,3",
    }
    return await start_process(fields)


async def _market_of(suite: Suite, owner: str) -> str:
    """An open market that this process owns."""
    admin = await suite.admin()
    async with asyncio.timeout(TAKEN_OVER_SECONDS):
        while True:
            for _ in range(MARKETS_MAX):
                market_id = await open_market(admin)
                if await _owner(suite, market_id) == owner:
                    return market_id
            await asyncio.sleep(0.1)


async def _until_taken_over(suite: Suite, market_id: str) -> None:
    async with asyncio.timeout(TAKEN_OVER_SECONDS):
        while await _owner(suite, market_id) == "order_service-2":
            await asyncio.sleep(0.05)


async def _owner(suite: Suite, market_id: str) -> str:
    connection = await asyncpg.connect(suite.database.superuser_url)
    try:
        return str(
            await connection.fetchval(
                "SELECT owner FROM shards JOIN markets ON shards.shard_id = markets.shard_id WHERE market_id = $1",
                uuid.UUID(market_id),
            )
        )
    finally:
        await connection.close()


async def _bot(suite: Suite) -> User:
    owner = await suite.user("owner")
    made = await owner.post("/v1/api-keys", {"name": "bot", "scopes": ["read", "trade"]})
    return User(suite.http, suite.url, user_id=owner.user_id, token=made["api_key"])


async def _trade(bot: User, market_id: str, load: Load) -> None:
    """Places, changes and cancels, each with a key of its own."""
    body: dict[str, Any] = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT"}
    body |= {"price_micros": 100_000, "quantity_micros": 2 * POINT}
    while not load.is_over:
        key = str(uuid.uuid4())
        placed = await _ask(bot, load, "POST", "/v1/orders", body, key=key)
        if placed is None:
            continue
        load.orders[key] = placed["order_id"]
        path = f"/v1/orders/{placed['order_id']}"
        await _ask(bot, load, "PATCH", path, {"quantity_micros": POINT, "market_id": market_id})
        await _ask(bot, load, "GET", f"/v1/markets/{market_id}/book")
        await _ask(bot, load, "DELETE", path)


async def _ask(
    bot: User, load: Load, method: str, path: str, body: Any = None, key: str | None = None
) -> Any:
    began = time.monotonic()
    reply = await bot.ask(method, path, body, key=key)
    load.slowest_seconds = max(load.slowest_seconds, time.monotonic() - began)
    if reply.status < 300:
        return reply.body
    load.failed.append(reply)
    return None


async def _check_each_order_is_there_once(suite: Suite, load: Load) -> None:
    connection = await asyncpg.connect(suite.database.superuser_url)
    rows = await connection.fetch("SELECT order_id FROM orders")
    await connection.close()
    assert sorted(str(row["order_id"]) for row in rows) == sorted(load.orders.values())
