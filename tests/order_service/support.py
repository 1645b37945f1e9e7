"""A real order_service, in the test's loop or as a process, and a check of what it left in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from db_service.store import loading
from db_service.verify import verify as verify_database
from engine.check import check
from engine.commands import TREASURY_ID
from engine.core import is_system_stream
from engine.events import decode, hash_of
from engine.hashing import state_hash
from engine.replay import fold
from engine.state import ShardState
from order_service.process import serve
from order_service.settings import OrderSettings
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port

POINT = 1_000_000
SERVICE_ID = "00000000-0000-4000-8000-0000000000ff"
TOKEN_REUSED_SECONDS = 300


class Issuer:
    """Signs tokens as auth_service does, and publishes its key."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._signed: dict[tuple[str, str], tuple[int, str]] = {}
        self.url = ""

    def token(self, user_id: str, role: str = "user") -> str:
        """One that is valid for ten minutes or more; the same again meanwhile, as a client would use it."""
        now = int(time.time())
        signed_at, known = self._signed.get((user_id, role), (0, ""))
        if now - signed_at < TOKEN_REUSED_SECONDS:
            return known
        token = self._sign(user_id, role, now)
        self._signed[user_id, role] = now, token
        return token

    def _sign(self, user_id: str, role: str, now: int) -> str:
        claims = {"iss": "predmarket", "aud": "predmarket-api", "sub": user_id, "iat": now, "exp": now + 900}
        claims |= {"jti": str(uuid.uuid4()), "role": role, "sid": "test"}
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "test"})

    def document(self) -> dict[str, Any]:
        key = json.loads(OKPAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": "test", "use": "sig", "alg": "EdDSA"}]}


@asynccontextmanager
async def run_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(issuer.document())

    app = web.Application()
    app.router.add_get("/jwks.json", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    issuer.url = f"http://127.0.0.1:{port}/jwks.json"
    try:
        yield issuer
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class Client:
    """Calls as whoever is named."""

    issuer: Issuer
    address: str
    stack: AsyncExitStack
    channel: Any = None

    def stub(self, service: str) -> Any:
        if self.channel is None:
            self.channel = open_channel(self.address)
            self.stack.push_async_callback(self.channel.close)
        return getattr(order_pb2_grpc, f"{service}Stub")(self.channel)

    async def ask(
        self, method: str, request: Any, user: str, role: str = "user", service: str = "OrderService"
    ) -> Any:
        authorization = f"Bearer {self.issuer.token(user, role)}"
        stub_method = getattr(self.stub(service), method)
        return await call(
            stub_method, request, deadline_seconds=10, authorization=authorization, wait_for_ready=True
        )

    async def grant(self, user: str, points: int = 10_000) -> Any:
        kind = "GENESIS" if user == TREASURY_ID else "SIGNUP"
        request = order_pb2.GrantPointsRequest(
            idempotency_key=f"grant:{user}", user_id=user, kind=kind, amount_micros=points * POINT
        )
        return await self.ask("GrantPoints", request, SERVICE_ID, "service", "PointsService")

    async def admin(self, method: str, request: Any, admin: str) -> Any:
        return await self.ask(method, request, admin, "admin", "MarketAdminService")

    async def open_market(self, admin: str, **terms: Any) -> str:
        """An ACTIVE market at 0.60 with 600 points, and a funded treasury."""
        await self.grant(TREASURY_ID, 1_000_000)
        fields = {
            "question": "Will it?",
            "liquidity_micros": 600 * POINT,
            "initial_probability_micros": 600_000,
        }
        request = order_pb2.CreateMarketRequest(terms=order_pb2.MarketTerms(**{**fields, **terms}))
        created = await self.admin("CreateMarket", request, admin)
        market_id: str = created.market.market_id
        await self.admin("ActivateMarket", order_pb2.ActivateMarketRequest(market_id=market_id), admin)
        return market_id


def limit(market_id: str, price: int, quantity: int, **fields: Any) -> order_pb2.PlaceOrderRequest:
    """BUY YES at so many cents, so many shares, unless said otherwise."""
    defaults: dict[str, Any] = {
        "side": common_pb2.SIDE_BUY,
        "outcome": common_pb2.OUTCOME_YES,
        "type": order_pb2.ORDER_TYPE_LIMIT,
        "price_micros": price * 10_000,
        "quantity_micros": quantity * POINT,
    }
    return order_pb2.PlaceOrderRequest(market_id=market_id, **{**defaults, **fields})


async def place_until_answered(client: Client, request: Any, user: str) -> common_pb2.Order:
    """The same key again and again, as a client that wants to know does."""
    return (await answer_to(client, request, user)).order


async def answer_to(client: Client, request: Any, user: str) -> order_pb2.PlaceOrderResponse:
    """The whole answer; a call that met a connection of the killed process is made again."""
    async with asyncio.timeout(40):
        while True:
            try:
                placed: order_pb2.PlaceOrderResponse = await client.ask("PlaceOrder", request, user)
            except ApiError as error:
                if not error.code.retryable:
                    raise
                await asyncio.sleep(0.1)
            else:
                return placed


def new_user() -> str:
    return str(uuid.uuid4())


def settings_of(database_url: str, nats_url: str, jwks_url: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "database_url": database_url,
        "nats_url": nats_url,
        "jwks_url": jwks_url,
        "grpc_port": free_port(),
        "instance": "order_service-1",
        "order_shards": "0,1,2,3",
        "lease_seconds": 1.0,
        "jobs_seconds": 0.1,
    }
    return {**fields, **changes}


@asynccontextmanager
async def run_service_here(issuer: Issuer, fields: dict[str, Any]) -> AsyncIterator[Client]:
    """As `python -m order_service` wires it, in this loop."""
    settings = OrderSettings(**fields)
    async with AsyncExitStack() as outer:
        ops = OpsServer(host="127.0.0.1", port=0)
        await ops.start()
        outer.push_async_callback(ops.stop)
        stack = await outer.enter_async_context(AsyncExitStack())
        process = Process("order_service", settings, stack, ops)
        await serve(process, settings)
        await process.set_ready(True)
        yield Client(issuer, settings.address(), outer)


async def start_process(fields: dict[str, Any]) -> asyncio.subprocess.Process:
    """`python -m order_service` with these settings."""
    environment = {**os.environ, **{name.upper(): str(value) for name, value in fields.items()}}
    environment["LOG_LEVEL"] = "WARNING"
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "order_service", env=environment)


async def verify(superuser_url: str) -> None:
    """Events, rows and ledger tell the same story; raises AssertionError where they do not."""
    report = await verify_database(superuser_url)
    assert report.broken() == []
    connection = await asyncpg.connect(superuser_url)
    try:
        for shard in await connection.fetch("SELECT shard_id, commit_seq FROM shards"):
            await _verify_shard(connection, shard["shard_id"], shard["commit_seq"])
        await _verify_money(connection)
    finally:
        await connection.close()


async def _verify_shard(connection: Any, shard_id: int, commit_seq: int) -> None:
    rows = await connection.fetch(
        "SELECT commit_seq, payload, hash, epoch FROM events WHERE shard_id = $1 ORDER BY commit_seq",
        shard_id,
    )
    assert [row["commit_seq"] for row in rows] == list(range(1, commit_seq + 1))
    assert [row["epoch"] for row in rows] == sorted(row["epoch"] for row in rows)
    replayed = ShardState()
    heads: dict[str, str] = {}
    for row in rows:
        event = decode(row["payload"])
        assert hash_of(row["payload"].encode()) == row["hash"]
        assert event.previous_hash == heads.get(event.market_id, "")
        heads[event.market_id] = row["hash"]
        fold(replayed, event)
    loaded = await loading.load_shard(connection, shard_id)
    for market_id, market in loaded.markets.items():
        assert market.market.last_hash == heads.get(market_id, "")
        if market_id in replayed.markets:
            assert state_hash(market) == state_hash(replayed.markets[market_id])
        if not is_system_stream(market_id):
            assert check(market) == []


async def _verify_money(connection: Any) -> None:
    off = await connection.fetch(
        """
        SELECT market_id, event_seq FROM trade_ledger GROUP BY market_id, event_seq
        HAVING sum(points_micros) <> 0 OR sum(yes_micros) <> 0 OR sum(no_micros) <> 0
        """
    )
    assert off == []
    off = await connection.fetch(
        """
        SELECT a.user_id FROM accounts a LEFT JOIN trade_ledger l USING (user_id)
        GROUP BY a.user_id HAVING a.available_micros + a.locked_micros <> coalesce(sum(l.points_micros), 0)
        """
    )
    assert off == []
