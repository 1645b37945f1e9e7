"""With a real auth_service: who may ask, and that a query ends with the right of whoever asked it, within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from analytics.analysts.endpoint import Endpoint
from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits
from analytics.clickhouse import Place, opened
from predmarket.auth.v1 import auth_pb2
from runtime.clock import SystemClock
from tests.analytics.analysts.conftest import endpoint_served
from tests.auth_service.support import Auth, Points, make_admin, run_auth, serve_points

HEAVY = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
PROMISED_SECONDS = 5
PATIENCE_SECONDS = 10 * PROMISED_SECONDS

NOT_AN_ANALYST = (403, "Code: 497")
NOT_LOGGED_IN = (401, "Code: 516")


@dataclass(slots=True)
class Served:
    """The endpoint, an auth_service, an administrator."""

    url: str
    auth: Auth
    http: aiohttp.ClientSession
    admin_token: str

    async def ask(self, sql: str, credential: str) -> tuple[int, str]:
        """Status and code."""
        headers = {"Authorization": f"Bearer {credential}"}
        async with self.http.post(self.url, data=sql.encode(), headers=headers) as answer:
            return answer.status, (await answer.text()).split(".")[0].strip()

    async def set_role(self, user_id: str, role: auth_pb2.Role, key: str) -> None:
        request = auth_pb2.SetRoleRequest(user_id=user_id, role=role, reason="a test", idempotency_key=key)
        await self.auth.admin("SetRole", request, self.admin_token)

    async def analyst(self, email: str) -> auth_pb2.LogInResponse:
        user_id = (await self.auth.register(email)).user.user_id
        await self.set_role(user_id, auth_pb2.ROLE_ANALYST, "make")
        return await self.auth.log_in(email)


@pytest.fixture
async def served(filled: Place, fresh_database: Any, tmp_path: Path) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        points = await stack.enter_async_context(serve_points(Points()))
        database_url = fresh_database.url_for("pm_auth")
        auth = await stack.enter_async_context(run_auth(database_url, points.address, mail_folder=tmp_path))
        clickhouse = await stack.enter_async_context(opened(filled))
        bounds = Bounds(seconds_max=2 * PATIENCE_SECONDS, read_rows_max=10**15)
        endpoint = Endpoint(clickhouse, auth.verifier, bounds=bounds, turns=TurnLimits(), clock=SystemClock())
        url = await endpoint_served(stack, endpoint)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        rows = await asyncpg.connect(fresh_database.superuser_url)
        admin_token = (await make_admin(auth, rows)).tokens.access_token
        await rows.close()
        yield Served(url, auth, http, admin_token)


async def end(served: Served, how: str, analyst: auth_pb2.LogInResponse, key_id: str) -> None:
    auth, user_id = served.auth, analyst.user.user_id
    match how:
        case "suspended" | "owner suspended":
            suspend = auth_pb2.SuspendUserRequest(user_id=user_id, reason="a test", idempotency_key="s")
            await auth.admin("SuspendUser", suspend, served.admin_token)
        case "role" | "role of the owner":
            await served.set_role(user_id, auth_pb2.ROLE_USER, "unmake")
        case "session":
            await auth.ask("LogOut", auth_pb2.LogOutRequest(refresh_token=analyst.tokens.refresh_token))
        case "api key":
            revoke = auth_pb2.RevokeApiKeyRequest(api_key_id=key_id, idempotency_key="k")
            await auth.ask("RevokeApiKey", revoke, token=analyst.tokens.access_token)


@pytest.mark.parametrize(
    ("how", "with_key", "then"),
    [
        ("suspended", False, NOT_LOGGED_IN),
        ("role", False, NOT_LOGGED_IN),
        ("session", False, NOT_LOGGED_IN),
        ("api key", True, NOT_LOGGED_IN),
        ("owner suspended", True, NOT_LOGGED_IN),
        ("role of the owner", True, NOT_AN_ANALYST),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_query_ends_with_the_right_to_ask_it(
    served: Served, how: str, with_key: bool, then: tuple[int, str]
) -> None:
    analyst = await served.analyst("ann@example.org")
    key = await served.auth.api_key(analyst.tokens.access_token, auth_pb2.API_KEY_SCOPE_READ)
    credential = key.secret if with_key else analyst.tokens.access_token
    assert await served.ask("SELECT 1", credential) == (200, "1")
    heavy = asyncio.create_task(served.ask(HEAVY, credential))
    assert not (await asyncio.wait({heavy}, timeout=0.5))[0]
    await end(served, how, analyst, key.api_key.api_key_id)
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await heavy == then
    print(f"{how}: {time.monotonic() - began:.1f} s")
    assert await served.ask("SELECT 1", credential) == then
    assert await served.ask("SELECT 1", served.admin_token) == (200, "1")


async def test_who_may_ask(served: Served) -> None:
    user = await served.auth.register("bob@example.org")
    analyst = await served.analyst("ann@example.org")
    users_key = await served.auth.api_key(user.tokens.access_token)
    trading = await served.auth.api_key(analyst.tokens.access_token, auth_pb2.API_KEY_SCOPE_TRADE)
    for credential, expected in (
        (user.tokens.access_token, NOT_AN_ANALYST),
        (users_key.secret, NOT_AN_ANALYST),
        (trading.secret, NOT_AN_ANALYST),
        (analyst.tokens.refresh_token, NOT_LOGGED_IN),
        (trading.secret[:-1] + ("A" if trading.secret[-1] != "A" else "E"), NOT_LOGGED_IN),
        (analyst.tokens.access_token, (200, "1")),
        (served.admin_token, (200, "1")),
    ):
        assert await served.ask("SELECT 1", credential) == expected
