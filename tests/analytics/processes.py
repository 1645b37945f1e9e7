"""Real processes of analytics, a ClickHouse server to stop and start, and the messages published as the relay does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from analytics.clickhouse import Place, opened
from analytics.ingest.database import Database as Copied
from analytics.reconcile import Line
from db_service.topics.reading import read_messages
from predmarket.analytics.v1 import analytics_pb2 as pb
from predmarket.analytics.v1 import analytics_pb2_grpc
from runtime.bus import open_bus
from runtime.grpc_client import call, open_channel
from runtime.jetstream_topics import STREAM, ensure_topics, subject
from runtime.ports import free_port
from runtime.postgres import open_pool
from runtime.topics import Topic
from tests.servers import Database

START_SECONDS = 60.0
EQUAL_SECONDS = 100.0
"""Ten times the bound."""


@dataclass(slots=True)
class Analytics:
    """`python -m analytics` with these settings; may be killed and started again."""

    settings: Mapping[str, str]
    grpc_port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    async def start(self, *, ready: bool = True) -> None:
        environment = {
            **os.environ,
            "LOG_LEVEL": "WARNING",
            **self.settings,
            "GRPC_PORT": str(self.grpc_port),
            "OPS_PORT": str(self.ops_port),
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "analytics", env=environment
        )
        if ready:
            await self.until_ready()

    async def until_ready(self) -> None:
        async with aiohttp.ClientSession() as http, asyncio.timeout(START_SECONDS):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{self.ops_port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                assert self.process is not None
                assert self.process.returncode is None, "it ended"
                await asyncio.sleep(0.1)

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """The exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    async def reconciled(self) -> list[Line]:
        """What the running process finds."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.ops_port}/reconcile") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return [Line(*line) for line in await answer.json()]

    async def until_equal(self) -> float:
        """Seconds until ClickHouse equals PostgreSQL."""
        began = time.monotonic()
        async with asyncio.timeout(EQUAL_SECONDS):
            while True:
                different = [line for line in await self.reconciled() if not line.is_equal]
                if not different:
                    return time.monotonic() - began
                await asyncio.sleep(0.1)

    async def ask(self, method: str, request: Any) -> Any:
        async with open_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
            return await call(getattr(stub, method), request, deadline_seconds=20, wait_for_ready=True)

    async def standing(self) -> pb.GetProgressResponse:
        answer: pb.GetProgressResponse = await self.ask("GetProgress", pb.GetProgressRequest())
        return answer


def settings_of(database: Database, nats_url: str, place: Place, **others: str) -> dict[str, str]:
    """Of one process."""
    where = {"CLICKHOUSE_URL": place.url} if place.url else {"CLICKHOUSE_FOLDER": str(place.folder)}
    return {
        "DATABASE_URL": database.url_for("pm_analytics"),
        "NATS_URL": nats_url,
        "INGEST_INTERVAL_SECONDS": "0.02",
        "COMPARE_SECONDS": "1",
        "INSTANCE": "analytics-1",
        "JWKS_URL": "http://127.0.0.1:9/nobody-asks",
        **where,
        **others,
    }


@dataclass(slots=True)
class ClickHouseServer:
    """The engine as a server (see clickhouse_server.py)."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def place(self) -> Place:
        return Place(url=f"http://default:@127.0.0.1:{self.port}")

    async def start(self) -> None:
        arguments = ("-m", "tests.analytics.clickhouse_server", str(self.folder), str(self.port))
        self.process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    async with opened(self.place) as clickhouse:
                        await clickhouse.make_database()
                        return
                except ConnectionError:
                    await asyncio.sleep(0.1)

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Publisher:
    """Publishes what PostgreSQL has, as order_service's relay does: in order per market, at least once."""

    def __init__(self, database: Database, nats_url: str) -> None:
        self._database = database
        self._nats_url = nats_url
        self._published: dict[str, int] = {}

    async def publish(self) -> int:
        """Everything since the last time; how many messages."""
        count = 0
        async with (
            open_bus(self._nats_url, name="publisher") as bus,
            open_pool(self._database.superuser_url, name="publisher", min_size=1, max_size=2) as pool,
        ):
            stream = bus.jetstream()
            await ensure_topics(stream, retention_hours=24, max_bytes=1 << 30)
            for market_id, seq in (await Copied(pool).heads()).items():
                after_seq = self._published.get(market_id, 0)
                async for some in read_messages(pool, market_id, after_seq=after_seq, to_seq=seq):
                    for message in some:
                        await stream.publish(subject(message.topic, market_id), message.body)
                        count += 1
                self._published[market_id] = seq
        return count

    async def seek_to_start(self) -> None:
        """Forgets how far each group is: its next member begins with the first message."""
        async with open_bus(self._nats_url, name="publisher") as bus:
            for topic in Topic:
                await bus.jetstream().delete_consumer(STREAM, topic.group)

    async def wipe(self) -> None:
        """The bus loses everything."""
        async with open_bus(self._nats_url, name="publisher") as bus:
            await bus.jetstream().delete_stream(STREAM)


@asynccontextmanager
async def ended(process: Analytics | ClickHouseServer) -> AsyncIterator[None]:
    """Nothing stays behind."""
    try:
        yield
    finally:
        if process.process is not None:
            await process.kill()


async def orders_in(database: Database) -> int:
    """How many orders there are."""
    connection = await asyncpg.connect(database.superuser_url)
    count: int = await connection.fetchval("SELECT count(*) FROM orders")
    await connection.close()
    return count
