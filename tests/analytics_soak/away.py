"""ClickHouse is stopped under load: orders must not notice, and analytics must be equal soon after it is back.

order_service, analytics and ClickHouse are processes of their own; orders come at a fixed rate, whatever happens, and
each one's latency counts from the moment it was due.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from statistics import quantiles

from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError
from tests.analytics.processes import Analytics, ClickHouseServer, ended, settings_of
from tests.order_service import support
from tests.order_service.support import Client, new_user, run_issuer
from tests.servers import Database

TRADERS = 32
LIQUIDITY_POINTS = 10_000
AS_THE_PRODUCT = {"INGEST_INTERVAL_SECONDS": "1", "COMPARE_SECONDS": "15", "LOG_LEVEL": "ERROR"}
UNANSWERED_MAX = 2_000
"""Orders in flight; more mean that order_service stands still."""


class Phase(Enum):
    """When an order was due. ClickHouse is..."""

    THERE = "before"
    AWAY = "while it is away"
    BACK = "after it is back"


@dataclass(slots=True)
class Findings:
    """What a run saw; times in seconds."""

    latencies: dict[Phase, list[float]] = field(default_factory=lambda: {phase: [] for phase in Phase})
    refused: list[str] = field(default_factory=list)
    equal_before_seconds: float = 0.0
    equal_after_seconds: float = 0.0
    """From ClickHouse's first answer until every figure of that moment was equal, orders still coming in."""

    def p99_ms(self, phase: Phase) -> float:
        return 1_000 * quantiles(self.latencies[phase], n=100)[98]

    def p50_ms(self, phase: Phase) -> float:
        return 1_000 * quantiles(self.latencies[phase], n=100)[49]


@dataclass(slots=True)
class Load:
    """Orders of a Point at the market, so many a second, by many users in turn."""

    client: Client
    market_id: str
    users: list[str]
    findings: Findings
    phase: Phase = Phase.THERE
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, rate: float) -> None:
        """Until cancelled; then what is in flight is still answered."""
        started = time.monotonic()
        try:
            for number in itertools.count():
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                assert len(self._in_flight) < UNANSWERED_MAX, "order_service stands still"
                task = asyncio.create_task(self._place(number, due))
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)
        finally:
            await asyncio.gather(*self._in_flight)

    async def _place(self, number: int, due: float) -> None:
        phase = self.phase
        order = order_pb2.PlaceOrderRequest(
            market_id=self.market_id,
            idempotency_key=f"load-{number}",
            side=common_pb2.SIDE_BUY,
            outcome=common_pb2.OUTCOME_YES if number % 2 else common_pb2.OUTCOME_NO,
            type=order_pb2.ORDER_TYPE_MARKET,
            amount_micros=support.POINT,
            max_slippage_bps=10_000,
        )
        try:
            await self.client.ask("PlaceOrder", order, self.users[number % len(self.users)])
        except ApiError as error:
            self.findings.refused.append(f"{phase.value}: {error.code}")
        else:
            self.findings.latencies[phase].append(time.monotonic() - due)


async def clickhouse_away(
    database: Database,
    nats_url: str,
    folder: Path,
    *,
    away_seconds: float,
    rate: float,
    say: Callable[[str], None] = lambda _: None,
) -> Findings:
    """One outage. `folder` is ClickHouse's; the load runs for as long before it as during it, at most half a minute."""
    findings = Findings()
    server = ClickHouseServer(folder)
    async with ended(server), _trading(database, nats_url) as (client, market_id, users):
        await server.start()
        process = Analytics(settings_of(database, nats_url, server.place, **AS_THE_PRODUCT))
        async with ended(process):
            await process.start()
            load = Load(client, market_id, users, findings)
            async with _running(load, rate):
                say(f"{rate:g} orders a second; ClickHouse is there")
                await asyncio.sleep(min(away_seconds, 30.0))
                findings.equal_before_seconds = await process.until_equal()
                await server.kill()
                load.phase = Phase.AWAY
                say(f"ClickHouse is away for {away_seconds:g} s")
                await asyncio.sleep(away_seconds)
                await server.start()
                load.phase = Phase.BACK
                say("ClickHouse is back")
                findings.equal_after_seconds = await process.until_equal()
                await asyncio.sleep(min(away_seconds, 5.0))
            await process.until_equal()
    return findings


@asynccontextmanager
async def _running(load: Load, rate: float) -> AsyncIterator[None]:
    """The load goes on meanwhile; when it breaks, so does whoever waits."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run(rate))
        yield
        running.cancel()


@asynccontextmanager
async def _trading(database: Database, nats_url: str) -> AsyncIterator[tuple[Client, str, list[str]]]:
    """order_service as a process, an open market, and users with points."""
    async with run_issuer() as issuer, AsyncExitStack() as stack:
        fields = support.settings_of(database.url_for("pm_order"), nats_url, issuer.url)
        process = await support.start_process(fields)
        try:
            client = Client(issuer, f"127.0.0.1:{fields['grpc_port']}", stack)
            market_id = await client.open_market(
                new_user(),
                liquidity_micros=LIQUIDITY_POINTS * support.POINT,
                initial_probability_micros=500_000,
            )
            users = [new_user() for _ in range(TRADERS)]
            for user in users:
                await client.grant(user)
            yield client, market_id, users
        finally:
            process.terminate()
            await process.wait()
