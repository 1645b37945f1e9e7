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
    db_port, market_port, ws_port = free_port(), free_port(), free_port()
    http_ports = [free_port() for _ in range(gateways)]
    gateways_apart, sockets_apart = gateways == 1 and SIDE_BY_SIDE > 1, SIDE_BY_SIDE > 1
    orders = str((all_settings or {}).get("order_grpc") or f"127.0.0.1:{free_port()}")
    order_address = addresses_of(orders)[0]
    ws_url = f"ws://127.0.0.1:{ws_port}/ws/v1"
    async with AsyncExitStack() as stack:
        of_auth = {
            "signup_grant_micros": 10_000 * POINT,
            "mail_folder": Path(stack.enter_context(TemporaryDirectory())),
            **(auth_settings or {}),
        }
        auth = await stack.enter_async_context(run_auth(database.url_for("pm_auth"), orders, **of_auth))
        shared = {
            "jwks_url": auth.jwks_url,
            "auth_grpc": auth.address,
            "nats_url": nats_url,
            "order_grpc": orders,
            "market_grpc": f"127.0.0.1:{market_port}",
            **(all_settings or {}),
        }
        analytics_port = free_port()
        of_gateways = {
            "db_grpc": f"127.0.0.1:{db_port}",
            "analytics_grpc": f"127.0.0.1:{analytics_port}",
            "ws_url": ws_url,
        }
        if analytics is not None:
            place = Place(folder=analytics / "clickhouse")
            process_apart = Analytics(settings_of(database, nats_url, place), analytics_port)
            await stack.enter_async_context(ended(process_apart))
            await process_apart.start()
        plan: list[tuple[str, Serve, type[ServiceSettings], dict[str, Any]]] = [
            (
                "order_service",
                order_service.process.serve,
                OrderSettings,
                {
                    "database_url": database.url_for("pm_order"),
                    "grpc_port": int(order_address.rpartition(":")[2]),
                    "order_shards": "0",
                },
            ),
            (
                "db_service",
                db_service.process.serve,
                DbSettings,
                {"database_url": database.url_for("pm_db"), "grpc_port": db_port},
            ),
            (
                "market_service",
                market_service.process.serve,
                MarketSettings,
                {"database_url": database.url_for("pm_market"), "grpc_port": market_port},
            ),
            *(
                (
                    "api_gateway",
                    api_gateway.process.serve,
                    GatewaySettings,
                    {**of_gateways, "http_port": http_port},
                )
                for http_port in http_ports
                if not gateways_apart
            ),
        ]
        if not sockets_apart:
            plan.append(("ws_service", ws_service.process.serve, WsSettings, {"http_port": ws_port}))
        for name, serve, settings_class, own in plan:
            settings = settings_class(**{**shared, **own})
            inner = await stack.enter_async_context(AsyncExitStack())
            process = Process(name, settings, inner, OpsServer(host="127.0.0.1", port=0))
            await serve(process, settings)
            await process.set_ready(True)
        if sockets_apart:
            await stack.enter_async_context(side_by_side("ws_service", shared, SIDE_BY_SIDE, ws_port))
        if gateways_apart:
            settings_apart = {**shared, **of_gateways}
            await stack.enter_async_context(
                side_by_side("api_gateway", settings_apart, SIDE_BY_SIDE, http_ports[0])
            )
        # A connection for each request, where each connection goes to the next process.
        connector = aiohttp.TCPConnector(force_close=gateways_apart)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        await _until_founded(database)
        urls = [f"http://127.0.0.1:{http_port}" for http_port in http_ports]
        yield Suite(
            urls[0],
            ws_url,
            http,
            database,
            order_address,
            shared,
            urls,
            of_auth["mail_folder"],
            {**shared, **of_gateways},
        )


async def _until_founded(database: Database) -> None:
    """The treasury's first funding, which auth_service asks order_service for, lets markets open."""
    connection = await asyncpg.connect(database.superuser_url)
    async with asyncio.timeout(30):
        while not await connection.fetchval("SELECT 1 FROM accounts WHERE available_micros > 0 LIMIT 1"):
            await asyncio.sleep(0.05)
    await connection.close()
