"""Kill order_service at random under load, again and again, and check after each kill what was promised.

Traders place and cancel with keys until they are answered. After a kill the process must answer again within a bound;
every acknowledged order must be in PostgreSQL, each key once, and events, rows and ledger must tell the same story.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError
from tests.order_service.support import (
    Client,
    Issuer,
    limit,
    new_user,
    place_until_answered,
    settings_of,
    start_process,
    verify,
)

TRADERS = 8
BACK_SECONDS = 30.0
"""Ten times the three seconds that the service should need."""


@dataclass(slots=True)
class Report:
    """What a soak saw."""

    kills: int = 0
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Idempotency key -> order id of every answered order."""
    refused: int = 0
    back_seconds: list[float] = field(default_factory=list)


class Soak:
    """One service on one database, killed `kills` times by the numbers of `seed`."""

    def __init__(self, issuer: Issuer, database: Any, nats_url: str, *, seed: int) -> None:
        self._issuer = issuer
        self._database = database
        self._fields = settings_of(database.url_for("pm_order"), nats_url, issuer.url)
        self._random = random.Random(seed)
        self._stop = False
        self.report = Report()

    async def run(self, kills: int, on_kill: Callable[[Report], None] = lambda _: None) -> Report:
        async with AsyncExitStack() as stack:
            client = Client(self._issuer, f"127.0.0.1:{self._fields['grpc_port']}", stack)
            process = await start_process(self._fields)
            traders: list[asyncio.Task[None]] = []
            try:
                markets = [await client.open_market(new_user()) for _ in range(2)]
                users, prober = [new_user() for _ in range(TRADERS)], new_user()
                for user in (*users, prober):
                    await client.grant(user)
                traders = [asyncio.create_task(self._trade(client, user, markets)) for user in users]
                for _ in range(kills):
                    process = await self._kill(client, process, prober, markets[0])
                    on_kill(self.report)
            finally:
                self._stop = True
                await asyncio.gather(*traders)
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                    await process.wait()
        await self._check()
        return self.report

    async def _kill(
        self, client: Client, process: asyncio.subprocess.Process, user: str, market: str
    ) -> asyncio.subprocess.Process:
        await asyncio.sleep(self._random.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await self._check()
        process = await start_process(self._fields)
        started = time.monotonic()
        key = f"probe-{self.report.kills}"
        order = await place_until_answered(client, limit(market, 1, 1, idempotency_key=key), user)
        self.report.acknowledged[f"{user}/{key}"] = order.order_id
        self.report.back_seconds.append(time.monotonic() - started)
        assert self.report.back_seconds[-1] < BACK_SECONDS
        await client.ask("CancelOrder", order_pb2.CancelOrderRequest(order_id=order.order_id), user)
        self.report.kills += 1
        return process

    async def _trade(self, client: Client, user: str, markets: list[str]) -> None:
        """Place with a key, ask again until answered; now and then cancel everything."""
        number = 0
        while not self._stop:
            number += 1
            key = f"soak-{number}"
            outcome = self._random.choice((common_pb2.OUTCOME_YES, common_pb2.OUTCOME_NO))
            market = self._random.choice(markets)
            request = limit(
                market, self._random.randint(30, 70), self._random.randint(1, 9), idempotency_key=key
            )
            request.outcome = outcome
            try:
                order = await place_until_answered(client, request, user)
                self.report.acknowledged[f"{user}/{key}"] = order.order_id
                if number % 20 == 0:
                    await client.ask(
                        "CancelAllOrders", order_pb2.CancelAllOrdersRequest(market_id=market), user
                    )
            except ApiError:
                self.report.refused += 1  # out of points or slots, or a cancel cut off by the kill

    async def _check(self) -> None:
        """Nothing acknowledged is lost, nothing is doubled, and everything adds up."""
        acknowledged = dict(self.report.acknowledged)
        await verify(self._database.superuser_url)
        connection = await asyncpg.connect(self._database.superuser_url)
        try:
            rows = await connection.fetch(
                "SELECT i.user_id, i.key, e.payload FROM idempotency i JOIN events e USING (market_id, seq)"
                " WHERE e.kind = 'PLACE_ORDER'"
            )
            stored = {f"{row['user_id']}/{row['key']}": row["payload"] for row in rows}
            placed = await connection.fetchval("SELECT count(*) FROM orders")
        finally:
            await connection.close()
        lost = [key for key, order_id in acknowledged.items() if order_id not in stored.get(key, "")]
        assert lost == []
        assert placed == len(stored), "an order without a key of its own was doubled"
