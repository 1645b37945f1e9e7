"""Who may call what: every route by every kind of caller, one test per cell.

What is expected stands here by path, in the words of the rules, and is not taken from the routes' declarations: a route
that declares too little fails. Requests are empty or nonsense, so that what may go on changes nothing.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.api_gateway.contract import routes
from tests.api_gateway.support import NOBODY, UNLIMITED, Suite, User, run_suite
from tests.auth_service.support import PASSWORD
from tests.servers import Database

CALLERS = ("anonymous", "user", "admin", "analyst", "read key", "trade key", "admin's key")
OPEN = re.compile(
    r"/(healthz|readyz|version|openapi\.json|asyncapi\.yaml|docs(/.*)?)"
    r"|/v1/(time|\.well-known/jwks\.json|markets|markets/\{id\}|tickers)"
    r"|/v1/markets/\{id\}/(book|candles|ticker|holders|trades|solvency)"
    r"|/v1/(quotes|leaderboard|calibration)"
    r"|/v1/auth/(register|login|refresh|logout|token|password/forgot|password/reset)"
)
TRADES = re.compile(r"/v1/(orders|orders/batch|orders/\{id\}|markets/\{id\}/(mint|merge))")
OWN_READS = re.compile(
    r"/v1/(me|orders|orders/\{id\}|portfolio|positions|fills|ledger|settlements|api-keys|sessions)"
)
ACCOUNT_WRITES = re.compile(
    r"/v1/(me|api-keys|api-keys/\{id\}|sessions|sessions/\{id\}|ws-tickets|auth/(authorize|password/change))"
)
ROUTES = [(route.method, route.path) for route in routes()]


def allowed(method: str, path: str) -> frozenset[str]:
    """Who may."""
    if OPEN.fullmatch(path) and (method == "GET" or path.startswith("/v1/auth/") or path == "/v1/quotes"):
        return frozenset(CALLERS)
    if path.startswith("/v1/admin/"):
        return frozenset({"admin"})
    if method == "GET" and OWN_READS.fullmatch(path):
        return frozenset({"user", "admin", "analyst", "read key", "admin's key"})
    if method != "GET" and TRADES.fullmatch(path):
        return frozenset({"user", "admin", "trade key", "admin's key"})
    if method != "GET" and ACCOUNT_WRITES.fullmatch(path):
        return frozenset({"user", "admin", "analyst"})
    return frozenset()  # a route nobody thought of


@dataclass(frozen=True)
class Cell:
    """What one caller was answered."""

    status: int
    code: str


@pytest.fixture(scope="module")
def cells(
    shared_database: Database, nats_server: Any, redis_server: Any, server_folder: Path
) -> Mapping[tuple[str, str, str], Cell]:
    """All of them, asked once of one running suite."""
    folder = server_folder / shared_database.name
    settings = {"redis_url": redis_server.url, **UNLIMITED}

    async def asked() -> dict[tuple[str, str, str], Cell]:
        async with run_suite(
            shared_database, nats_server.url, all_settings=settings, analytics=folder
        ) as suite:
            callers = await _callers(suite)
            return {
                (method, path, who): await _ask(caller, method, path)
                for method, path in ROUTES
                for who, caller in callers.items()
            }

    return asyncio.run(asked())


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(pair) for pair in ROUTES])
def test_a_cell(cells: Mapping[tuple[str, str, str], Cell], method: str, path: str, who: str) -> None:
    cell = cells[method, path, who]
    if who in allowed(method, path):
        assert cell.code not in ("UNAUTHENTICATED", "FORBIDDEN"), cell
        assert cell.status < 500, cell
    elif who == "anonymous":
        assert (cell.status, cell.code) == (401, "UNAUTHENTICATED")
    else:
        assert (cell.status, cell.code) == (403, "FORBIDDEN")


def test_every_route_belongs_to_somebody() -> None:
    assert [pair for pair in ROUTES if not allowed(*pair)] == []


async def _callers(suite: Suite) -> dict[str, User]:
    user, admin = await suite.user("matrix-user"), await suite.admin()
    analyst = await suite.user("matrix-analyst")
    connection = await asyncpg.connect(suite.database.superuser_url)
    await connection.execute(
        "UPDATE users SET role = 'analyst' WHERE user_id = $1", uuid.UUID(analyst.user_id)
    )
    await connection.close()
    login = {"email": analyst.email, "password": PASSWORD}
    analyst.token = (await analyst.post("/v1/auth/login", login, status=200))["access_token"]
    return {
        "anonymous": suite.nobody(),
        "user": user,
        "admin": admin,
        "analyst": analyst,
        "read key": await _key(suite, user, "read"),
        "trade key": await _key(suite, user, "trade"),
        "admin's key": await _key(suite, admin, "read", "trade"),
    }


async def _key(suite: Suite, owner: User, *scopes: str) -> User:
    made = await owner.post("/v1/api-keys", {"name": "matrix", "scopes": list(scopes)})
    return User(suite.http, suite.url, token=made["api_key"])


async def _ask(caller: User, method: str, path: str) -> Cell:
    body = None if method == "GET" else {"refresh_token": "x"} if path == "/v1/auth/logout" else {}
    query = f"?market_id={NOBODY}" if (method, path) == ("DELETE", "/v1/orders") else ""
    reply = await caller.ask(method, path.format(id=NOBODY) + query, body)
    return Cell(reply.status, reply.code if reply.status >= 400 else "")
