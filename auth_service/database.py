"""Borrowing connections, and the types data-access modules take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import stamina
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:  # these are generic for the type checker only
    Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy
    Pool: TypeAlias = asyncpg.Pool

BORROW_SECONDS = 2.0
"""When every connection is in use for so long, a call ends with UNAVAILABLE instead of waiting on."""


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A connection for one statement, or several that need no transaction. Raises TimeoutError."""
    async with pool.acquire(timeout=BORROW_SECONDS) as connection:
        yield connection


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection inside a transaction: committed at the end, rolled back by an exception. Raises TimeoutError."""
    async with borrowed(pool) as connection, connection.transaction():
        yield connection


async def until_migrated(pool: Pool) -> None:
    """Waits for our tables: services start in any order, and the migrations may still run."""
    async for attempt in stamina.retry_context(
        on=asyncpg.UndefinedTableError, attempts=None, timeout=None, wait_initial=0.1, wait_max=1.0
    ):
        with attempt:
            await pool.fetchval("SELECT count(*) FROM signing_keys")
