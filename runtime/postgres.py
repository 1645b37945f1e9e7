"""PostgreSQL: a bounded pool that waits for the server, and single connections for writers.

    pool = await process.enter(open_pool(settings.database_url.get_secret_value(), name="reads"))
    rows = await pool.fetch(..., timeout=2)

Every statement has a time limit. A failing server raises at once (UNAVAILABLE to the caller); only start-up waits.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import stamina

from runtime import metrics
from runtime.logs import get_logger

log = get_logger(__name__)

POOL_MIN = 5
POOL_MAX = 20
COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 2.0
RETRY_WAIT_MAX_SECONDS = 2.0

# What a server that is not up yet, restarting, or just created raises.
NOT_UP_YET: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidCatalogNameError,
)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    name: str,
    min_size: int = POOL_MIN,
    max_size: int = POOL_MAX,
    command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    server_settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Pool]:
    """A pool of 5..20 connections, once the server can be reached. `name` shows in pg_stat_activity and the metrics."""

    pool = await _create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        command_timeout=command_timeout_seconds,
        server_settings={"application_name": name, **(server_settings or {})},
        reset=_nothing_to_reset,
    )
    metrics.POSTGRES_CONNECTIONS.labels(name, "open").set_function(pool.get_size)
    metrics.POSTGRES_CONNECTIONS.labels(name, "idle").set_function(pool.get_idle_size)
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def connect(
    url: str,
    *,
    name: str,
    command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    server_settings: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Connection:
    """One connection outside any pool. `wait=False` raises at once when the server is away."""
    async for attempt in _attempts(wait):
        with attempt:
            connection: Connection = await asyncpg.connect(
                url,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=command_timeout_seconds,
                server_settings={"application_name": name, **(server_settings or {})},
            )
    return connection


async def answers(pool: Pool) -> bool:
    """A readiness check: whether the server answers a query within a second."""
    return bool(await pool.fetchval("SELECT true", timeout=1.0))


async def _nothing_to_reset(_connection: object) -> None:
    """Instead of a round trip after every use: a borrower leaves no settings, locks or cursors of its session behind.

    (A transaction left open is rolled back all the same.)
    """


async def _create_pool(url: str, **options: Any) -> Pool:
    async for attempt in _attempts(wait=True):
        with attempt:
            pool: Pool = await asyncpg.create_pool(url, timeout=CONNECT_TIMEOUT_SECONDS, **options)
    return pool


def _attempts(wait: bool) -> AsyncIterator[stamina.Attempt]:
    return stamina.retry_context(
        on=NOT_UP_YET,
        attempts=None if wait else 1,
        timeout=None,
        wait_initial=0.05,
        wait_max=RETRY_WAIT_MAX_SECONDS,
        wait_jitter=0.2,
    )
