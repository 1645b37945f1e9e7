"""Every service in the test's own loop, on real PostgreSQL and NATS, and a client of the gateway."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import asyncpg
import orjson

import api_gateway.process
import db_service.process
import market_service.process
import order_service.process
import ws_service.process
from analytics.clickhouse import Place
from api_gateway.settings import GatewaySettings
from db_service.settings import DbSettings
from market_service.settings import MarketSettings
from order_service.settings import OrderSettings
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.order_shards import addresses_of
from runtime.ports import free_port
from runtime.settings import ServiceSettings
from tests.analytics.processes import Analytics, ended, settings_of
from tests.api_gateway import contract
from tests.auth_service.support import PASSWORD, run_auth
from tests.processes import SIDE_BY_SIDE, side_by_side
from tests.servers import Database
from ws_service.settings import WsSettings

POINT = 1_000_000
NOBODY = "00000000-0000-7000-8000-000000000000"
"""An id that nothing and nobody has."""
MAIL_SECONDS = 20
UNLIMITED = {f"rate_{bucket}_per_minute": 10**6 for bucket in ("public", "trades", "cancels", "admin")}
"""More than any test sends."""
Serve = Callable[[Process, Any], Awaitable[None]]


@dataclass(slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass(slots=True)
class User:
    """A client with its own token."""

    http: aiohttp.ClientSession
    url: str
    email: str = ""
    user_id: str = ""
    token: str = ""

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if method != "GET" and key != "":
            sent["Idempotency-Key"] = key or str(uuid.uuid4())
        data = raw if raw is not None else (None if body is None else orjson.dumps(body))
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.http.request(method, self.url + path, data=data, headers=sent) as answer:
            text = await answer.read()
            media_type = answer.headers.get("Content-Type", "")
            content = orjson.loads(text) if text and "json" in media_type else (text or None)
            contract.check(method, answer.url.raw_path, answer.status, media_type, content)
            return Reply(answer.status, answer.headers, content)

    async def get(self, path: str) -> Any:
        reply = await self.ask("GET", path)
        assert reply.status == 200, reply
        return reply.body

    async def post(self, path: str, body: Any = None, status: int = 201) -> Any:
        reply = await self.ask("POST", path, {} if body is None else body)
        assert reply.status == status, reply
        return reply.body


@dataclass(slots=True)
class Suite:
    """What runs."""

    url: str
    ws_url: str
    http: aiohttp.ClientSession
    database: Database
    order_address: str
    """host:port of order_service's gRPC."""
    shared: Mapping[str, Any] = field(default_factory=dict)
    """Settings of every service: for one more process."""
    urls: list[str] = field(default_factory=list)
    """Of every gateway."""
    mail_folder: Path = Path()
    """Where auth_service writes its mails."""
    of_gateways: Mapping[str, Any] = field(default_factory=dict)
    """Settings of a gateway: for one more process."""

    def nobody(self) -> User:
        return User(self.http, self.url)

    async def user(self, name: str, password: str = PASSWORD) -> User:
        """A new one, whoever else is called so."""
        user = User(self.http, self.url, f"{name}-{uuid.uuid4().hex[:8]}@example.org")
        answer = await user.post("/v1/auth/register", {"email": user.email, "password": password})
        user.token, user.user_id = answer["access_token"], answer["user"]["user_id"]
        return user

    async def reset_token(self, email: str) -> str:
        """That of the latest mail to this address, once there is one."""
        async with asyncio.timeout(MAIL_SECONDS):
            while True:
                for file in sorted(self.mail_folder.glob("*.txt"), reverse=True):
                    text = file.read_text()
                    if f"To: {email}\n" in text and (found := re.search(r"Your token: (\S+)", text)):
                        return found[1]
                await asyncio.sleep(0.05)

    async def admin(self) -> User:
        """A user whom the database says to be an administrator."""
        admin = await self.user("admin")
        connection = await asyncpg.connect(self.database.superuser_url)
        await connection.execute(
            "UPDATE users SET role = 'admin' WHERE user_id = $1", uuid.UUID(admin.user_id)
        )
        await connection.close()
        answer = await admin.post("/v1/auth/login", {"email": admin.email, "password": PASSWORD}, status=200)
        admin.token = answer["access_token"]
        return admin


async def open_market(admin: User, **terms: Any) -> str:
    """An ACTIVE market."""
    body = {"question": "Will it?", "liquidity_micros": 1_000 * POINT, **terms}
    market_id: str = (await admin.post("/v1/admin/markets", body))["market_id"]
    await admin.post(f"/v1/admin/markets/{market_id}/activate", status=200)
    return market_id


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each service of a suite listens."""

    orders: str
    http_ports: list[int]
    db_port: int = field(default_factory=free_port)
    market_port: int = field(default_factory=free_port)
    ws_port: int = field(default_factory=free_port)
    analytics_port: int = field(default_factory=free_port)

    @property
    def order_address(self) -> str:
        """Of the suite's own process of order_service; others are the test's."""
        return addresses_of(self.orders)[0]

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}/ws/v1"

    @property
    def of_gateways(self) -> dict[str, Any]:
        """Settings that every gateway has and no other service."""
        return {
            "db_grpc": f"127.0.0.1:{self.db_port}",
            "analytics_grpc": f"127.0.0.1:{self.analytics_port}",
            "ws_url": self.ws_url,
        }


@asynccontextmanager
async def run_suite(
    database: Database,
    nats_url: str,
    *,
    auth_settings: Mapping[str, Any] | None = None,
    all_settings: Mapping[str, Any] | None = None,
    gateways: int = 1,
    analytics: Path | None = None,
) -> AsyncIterator[Suite]:
    """As the launcher starts them. `auth_settings`: of auth_service, `all_settings`: of the others, too. With
    `order_grpc` among them: the first address is the suite's own process, others are started by the test. `analytics`:
    the folder of its engine (None: there is none). With SIDE_BY_SIDE=2 in the environment two processes of ws_service,
    and of api_gateway unless `gateways` is given."""
    given = dict(all_settings or {})
    orders = str(given.get("order_grpc") or f"127.0.0.1:{free_port()}")
    places = _Places(orders, [free_port() for _ in range(gateways)])
    gateways_apart = gateways == 1 and SIDE_BY_SIDE > 1
    async with AsyncExitStack() as stack:
        mail_folder = Path(stack.enter_context(TemporaryDirectory()))
        of_auth = {"signup_grant_micros": 10_000 * POINT, "mail_folder": mail_folder, **(auth_settings or {})}
        auth = await stack.enter_async_context(run_auth(database.url_for("pm_auth"), orders, **of_auth))
        shared = {
            "jwks_url": auth.jwks_url,
            "auth_grpc": auth.address,
            "nats_url": nats_url,
            "order_grpc": orders,
            "market_grpc": f"127.0.0.1:{places.market_port}",
            **given,
        }
        of_gateways = {**shared, **places.of_gateways}
        if analytics is not None:
            await _start_analytics(stack, database, nats_url, analytics, places.analytics_port)
        await _start_inner_services(stack, database, places, shared)
        await _start_gateways(stack, places.http_ports, of_gateways, gateways_apart)
        await _start_live_feed(stack, places.ws_port, shared)
        # A connection for each request, where each connection goes to the next process.
        connector = aiohttp.TCPConnector(force_close=gateways_apart)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        await _until_founded(database)
        urls = [f"http://127.0.0.1:{http_port}" for http_port in places.http_ports]
        yield Suite(
            url=urls[0],
            ws_url=places.ws_url,
            http=http,
            database=database,
            order_address=places.order_address,
            shared=shared,
            urls=urls,
            mail_folder=of_auth["mail_folder"],
            of_gateways=of_gateways,
        )


async def _start_analytics(
    stack: AsyncExitStack, database: Database, nats_url: str, folder: Path, port: int
) -> None:
    """In a process of its own: its engine can be in a process once."""
    process = Analytics(settings_of(database, nats_url, Place(folder=folder / "clickhouse")), port)
    await stack.enter_async_context(ended(process))
    await process.start()


async def _start_inner_services(
    stack: AsyncExitStack, database: Database, places: _Places, shared: Mapping[str, Any]
) -> None:
    """Those behind the edge."""
    orders = OrderSettings(
        **shared,
        database_url=database.url_for("pm_order"),
        grpc_port=int(places.order_address.rpartition(":")[2]),
        order_shards="0",
    )
    reads = DbSettings(**shared, database_url=database.url_for("pm_db"), grpc_port=places.db_port)
    markets = MarketSettings(
        **shared, database_url=database.url_for("pm_market"), grpc_port=places.market_port
    )
    await _start(stack, "order_service", order_service.process.serve, orders)
    await _start(stack, "db_service", db_service.process.serve, reads)
    await _start(stack, "market_service", market_service.process.serve, markets)


async def _start_gateways(
    stack: AsyncExitStack, http_ports: list[int], settings: Mapping[str, Any], apart: bool
) -> None:
    """One on each port, or, apart, several processes on the only one."""
    if apart:
        await stack.enter_async_context(side_by_side("api_gateway", settings, SIDE_BY_SIDE, http_ports[0]))
        return
    for http_port in http_ports:
        gateway = GatewaySettings(**{**settings, "http_port": http_port})
        await _start(stack, "api_gateway", api_gateway.process.serve, gateway)


async def _start_live_feed(stack: AsyncExitStack, ws_port: int, shared: Mapping[str, Any]) -> None:
    if SIDE_BY_SIDE > 1:
        await stack.enter_async_context(side_by_side("ws_service", shared, SIDE_BY_SIDE, ws_port))
    else:
        await _start(stack, "ws_service", ws_service.process.serve, WsSettings(**shared, http_port=ws_port))


async def _start(stack: AsyncExitStack, name: str, serve: Serve, settings: ServiceSettings) -> None:
    """In the test's own loop."""
    inner = await stack.enter_async_context(AsyncExitStack())
    process = Process(name, settings, inner, OpsServer(host="127.0.0.1", port=0))
    await serve(process, settings)
    await process.set_ready(True)


async def _until_founded(database: Database) -> None:
    """The treasury's first funding, which auth_service asks order_service for, lets markets open."""
    connection = await asyncpg.connect(database.superuser_url)
    async with asyncio.timeout(30):
        while not await connection.fetchval("SELECT 1 FROM accounts WHERE available_micros > 0 LIMIT 1"):
            await asyncio.sleep(0.05)
    await connection.close()
