"""Clients of the running services, each with an account of its own."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import asyncpg

from predmarket_client import Client, micros
from tests.api_gateway.support import Suite
from tests.auth_service.support import PASSWORD


class Clients:
    """`await clients("ann")` is a client that has just registered; all are closed in the end."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, name: str, **options: Any) -> Client:
        client = Client(self.suite.url, email=f"{name}@example.org", password=PASSWORD, **options)
        await self._stack.enter_async_context(client)
        await client.accounts.register(f"{name}@example.org", PASSWORD, name)
        return client

    async def count(self, table: str) -> int:
        """Rows of a table of the database."""
        connection = await asyncpg.connect(self.suite.database.superuser_url)
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
        finally:
            await connection.close()


async def open_market(admin: Client, liquidity_points: int = 1_000, **terms: Any) -> str:
    """An ACTIVE market."""
    draft = await admin.admin.create_market("Will it?", liquidity_micros=micros(liquidity_points), **terms)
    return (await admin.admin.activate(draft.market_id)).market_id
