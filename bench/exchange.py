"""A real order_service as a child process on embedded servers, with funded users and markets, for the bench to load."""

from __future__ import annotations

import asyncio
import http.server
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from bench import servers
from bench.report import BenchError
from engine.commands import TREASURY_ID
from engine.units import MICROS
from launcher.embedded import NatsServer, PostgresServer
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel
from runtime.ports import free_port

DATABASE = "predmarket"
USERS = 64
USER_POINTS = 1_000_000
TREASURY_POINTS = 100_000_000
MARKETS_TRIED_MAX = 40
LIQUIDITY_POINTS = 100_000
READY_SECONDS = 30.0
PUBLISHED_SECONDS = 120.0
BEHIND_SQL = """
SELECT count(*) FROM shards JOIN relay_cursors USING (shard_id) WHERE relay_cursors.commit_seq < shards.commit_seq
"""
TOKEN_SECONDS = 3_000
ADMIN_ID = "00000004-0000-4000-8000-00000000000a"
SERVICE_ID = "00000004-0000-4000-8000-0000000000ff"


class Issuer:
    """Signs tokens as auth_service does, and publishes its key for the services."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        entry = json.loads(OKPAlgorithm.to_jwk(self._key.public_key()))
        document = {"keys": [{**entry, "kid": "bench", "use": "sig", "alg": "EdDSA"}]}
        body = json.dumps(document).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def authorization(self, user_id: str, role: str = "user") -> str:
        now = int(time.time())
        claims = {"iss": "predmarket", "aud": "predmarket-api", "sub": user_id, "iat": now, "role": role}
        claims |= {"exp": now + TOKEN_SECONDS, "jti": str(uuid.uuid4()), "sid": "bench"}
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "bench"})
        return f"Bearer {token}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True)
class Exchange:
    """Where everything is. `market_id` is the hot market; `users` have points."""

    postgres: PostgresServer
    nats: NatsServer
    issuer: Issuer
    log_path: Path
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    market_id: str = ""
    users: list[str] = field(
        default_factory=lambda: [f"00000005-0000-4000-8000-{number:012d}" for number in range(USERS)]
    )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def start(self) -> None:
        """Start order_service; returns at once."""
        settings = {
            "DATABASE_URL": self.postgres.url_for(DATABASE, "pm_order"),
            "NATS_URL": self.nats.url,
            "JWKS_URL": self.issuer.url,
            "SHARD_COUNT": str(servers.SHARDS),
            "ORDER_SHARDS": ",".join(str(shard) for shard in range(servers.SHARDS)),
            "GRPC_PORT": str(self.grpc_port),
            "OPS_PORT": str(free_port()),
            "INSTANCE": "order_service-1",
        }
        self.process = servers.start_service("order_service", settings, self.log_path)

    def stop(self) -> None:
        if self.process is not None:
            servers.stop_service(self.process)
            self.process = None

    def service_mebibytes(self) -> float:
        """Resident memory of order_service."""
        assert self.process is not None
        resident: int = psutil.Process(self.process.pid).memory_info().rss
        return resident / 2**20

    def published_after_seconds(self) -> float:
        """Waits until both buses have everything that was committed, so that the next arm does not pay for this one.

        How long that took: what the relay and the feed of the topics were behind when the load ended.
        """
        return asyncio.run(self._published_after_seconds())

    async def _published_after_seconds(self) -> float:
        started = time.perf_counter()
        connection = await asyncpg.connect(self.postgres.url_for(DATABASE, "postgres"))
        try:
            while await connection.fetchval(BEHIND_SQL):
                if time.perf_counter() - started > PUBLISHED_SECONDS:
                    raise BenchError(f"the buses are still behind after {PUBLISHED_SECONDS} s")
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
        return time.perf_counter() - started

    async def ask(self, stub_method: Any, request: Any, user_id: str, role: str = "user") -> Any:
        """One call that must succeed."""
        try:
            return await call(
                stub_method,
                request,
                deadline_seconds=30,
                authorization=self.issuer.authorization(user_id, role),
                wait_for_ready=True,
            )
        except ApiError as error:
            raise BenchError(f"order_service answered {error.code}: {error.message}") from error

    async def wait_ready(self) -> None:
        """Until every shard has an owner."""
        deadline = time.monotonic() + READY_SECONDS
        async with open_channel(self.address) as channel:
            stub = order_pb2_grpc.ShardServiceStub(channel)
            while time.monotonic() < deadline:
                if self.process is None or self.process.poll() is not None:
                    break
                try:
                    answer = await call(stub.ListShards, order_pb2.ListShardsRequest(), deadline_seconds=2)
                    if len(answer.shards) == servers.SHARDS and all(shard.owner for shard in answer.shards):
                        return
                except ApiError:
                    pass  # not up yet; the deadline decides
                await asyncio.sleep(0.02)
        raise BenchError(f"order_service is not ready:\n{self.log_path.read_text()[-2_000:]}")

    async def found(self) -> None:
        """Fund the treasury and the users, and open the hot market."""
        await self.wait_ready()
        async with open_channel(self.address) as channel:
            points = order_pb2_grpc.PointsServiceStub(channel)
            for user_id in (TREASURY_ID, *self.users):
                is_treasury = user_id == TREASURY_ID
                request = order_pb2.GrantPointsRequest(
                    idempotency_key=f"grant:{user_id}",
                    user_id=user_id,
                    kind="GENESIS" if is_treasury else "SIGNUP",
                    amount_micros=(TREASURY_POINTS if is_treasury else USER_POINTS) * MICROS,
                )
                await self.ask(points.GrantPoints, request, SERVICE_ID, "service")
        self.market_id = await self.open_market("Hot?")

    async def open_market(self, question: str) -> str:
        """An ACTIVE market at one half."""
        async with open_channel(self.address) as channel:
            markets = order_pb2_grpc.MarketAdminServiceStub(channel)
            terms = order_pb2.MarketTerms(question=question, liquidity_micros=LIQUIDITY_POINTS * MICROS)
            created = await self.ask(
                markets.CreateMarket, order_pb2.CreateMarketRequest(terms=terms), ADMIN_ID, "admin"
            )
            market_id: str = created.market.market_id
            activate = order_pb2.ActivateMarketRequest(market_id=market_id)
            await self.ask(markets.ActivateMarket, activate, ADMIN_ID, "admin")
        return market_id

    async def open_market_beside(self, market_id: str) -> str:
        """Another market on the shard of this one."""
        wanted = await self.shard_of(market_id)
        for number in range(MARKETS_TRIED_MAX):
            other = await self.open_market(f"Beside {number}?")
            if await self.shard_of(other) == wanted:
                return other
        raise BenchError(f"no market of {MARKETS_TRIED_MAX} came to shard {wanted}")

    async def shard_of(self, market_id: str) -> int:
        async with open_channel(self.address) as channel:
            stub = order_pb2_grpc.ShardServiceStub(channel)
            request = order_pb2.ListShardsRequest(market_id=market_id)
            answer = await self.ask(stub.ListShards, request, ADMIN_ID, "admin")
        shard: int = answer.market_shard
        return shard


@contextmanager
def running() -> Iterator[Exchange]:
    """Everything started, founded, and stopped afterwards."""
    with ExitStack() as stack:
        where = stack.enter_context(servers.folder())
        server = stack.enter_context(servers.postgres(where))
        nats = stack.enter_context(servers.nats(where))
        servers.make_database(server, DATABASE)
        issuer = Issuer()
        stack.callback(issuer.close)
        exchange = Exchange(server, nats, issuer, where / "order_service.log")
        stack.callback(exchange.stop)
        exchange.start()
        asyncio.run(exchange.found())
        yield exchange
