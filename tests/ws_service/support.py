"""A running ws_service on a real NATS, and an order_service's book for it to read."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import nats
import orjson
from nats.aio.client import Client
from nats.js.api import StreamConfig
from redis.asyncio import Redis

from engine.published_book import checksum
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.bus import ensure_stream
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_server import GrpcServer
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port
from tests.order_service.support import Issuer, run_issuer
from tests.processes import SIDE_BY_SIDE, balanced
from tests.ws_service.published import check_frame
from ws_service.process import serve
from ws_service.session import PROTOCOL
from ws_service.settings import WsSettings

Frame = dict[str, Any]
FIGURES = {"probability_micros": 500_000, "last_price_micros": 0, "collateral_micros": 0, "volume_micros": 0}


class Books(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """The reads of one order_service process, by the protocol's rules."""

    def __init__(self) -> None:
        self.books: dict[str, order_pb2.GetBookResponse] = {}
        self.figures: dict[str, dict[str, Any]] = {}
        self.reads = 0
        self.address = ""

    def put(self, market_id: str, **fields: Any) -> order_pb2.GetBookResponse:
        base: dict[str, Any] = {"epoch": 1, "seq": 1, "time": 1, "status": "ACTIVE"}
        self.books[market_id] = order_pb2.GetBookResponse(market_id=market_id, **{**base, **fields})
        return self.books[market_id]

    async def GetBook(self, request: order_pb2.GetBookRequest, context: Any) -> order_pb2.GetBookResponse:
        self.reads += 1
        if request.market_id not in self.books:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return self.books[request.market_id]

    async def GetMarket(self, request: order_pb2.GetMarketRequest, context: Any) -> Any:
        book = self.books[request.market_id]
        self.figures.setdefault(request.market_id, {"probability_micros": 500_000})
        fields = self.figures[request.market_id]
        market = common_pb2.Market(market_id=book.market_id, seq=book.seq, status=book.status, **fields)
        return order_pb2.GetMarketResponse(market=market)

    async def ListShards(self, request: order_pb2.ListShardsRequest, context: Any) -> Any:
        shard = order_pb2.Shard(shard=0, owner="o", address=self.address, epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)


@dataclass(frozen=True, slots=True)
class Servers:
    """What the service needs."""

    nats_url: str
    redis_url: str


def user_event(user_id: str, first_seq: int, *kinds: str) -> dict[str, Any]:
    """Frames numbered from `first_seq`: balances, unless other kinds are named."""
    frames = [
        {
            "type": kind,
            "available_micros": number,
            "locked_micros": 0,
            "user_seq": number,
            "seq": number,
            "time": number,
        }
        for number, kind in enumerate(kinds or ("user.balance",), first_seq)
    ]
    last_seq = first_seq + len(frames) - 1
    return {"user_id": user_id, "market_id": "", "seq": 1, "time": 1, "user_seq": last_seq, "frames": frames}


@dataclass(slots=True)
class Live:
    """A running service with what feeds it."""

    url: str
    books: Books
    bus: Client
    http: aiohttp.ClientSession
    stack: AsyncExitStack
    issuer: Issuer
    redis: Redis
    shared: dict[str, Any]
    """Settings of another process beside this one."""

    async def ticket(self, owner: str, seconds: float = 900, **changes: Any) -> str:
        """As the gateway gives them out."""
        ticket = secrets.token_urlsafe(32)
        expires = int(time.time() + seconds)
        stored = {"user_id": owner, "role": "user", "session_id": "s", "version": 0}
        value = orjson.dumps({**stored, "expires_at_seconds": expires, **changes})
        await self.redis.set(f"ws-ticket:{hashlib.sha256(ticket.encode()).hexdigest()}", value, ex=30)
        return ticket

    async def tell(self, user_id: str, first_seq: int, *kinds: str, stream: bool = True) -> None:
        """A message of one event for a user, as the relay makes them. `stream` False: it only passes by."""
        body = orjson.dumps(user_event(user_id, first_seq, *kinds))
        subject = f"user.{user_id}.events"
        if stream:
            await self.bus.jetstream().publish(subject, body)
        else:
            await self.bus.publish(subject, body)
            await self.bus.flush()

    async def publish(self, market: str, kind: str, **message: Any) -> None:
        await self.bus.publish(f"market.{market}.{kind}", orjson.dumps(message))
        await self.bus.flush()

    async def change(
        self, market_id: str, prev_seq: int, seq: int, *levels: list[Any], epoch: int = 1, **figures: Any
    ) -> None:
        """A book message."""
        pool = {"yes_micros": seq, "no_micros": seq}
        fields = {
            "epoch": epoch,
            "prev_seq": prev_seq,
            "seq": seq,
            "time": seq,
            "levels": levels,
            "pool": pool,
            "status": "ACTIVE",
            **FIGURES,
            **figures,
        }
        await self.publish(market_id, "book", market_id=market_id, **fields)

    async def connect(self, **options: Any) -> "Reader":
        """`url`: of another process."""
        protocols, url = options.pop("protocols", (PROTOCOL,)), options.pop("url", self.url)
        socket = await self.http.ws_connect(url, protocols=protocols, max_msg_size=0, **options)
        reader = Reader(socket)
        assert (await reader.next())["type"] == "hello"
        return reader


@dataclass(slots=True)
class Reader:
    """A client that keeps books by the public rules."""

    socket: aiohttp.ClientWebSocketResponse
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    seq: int = 0

    async def next(self, seconds: float = 5) -> Frame:
        """The next frame that is not a heartbeat."""
        while (frame := await self.any(seconds))["type"] == "heartbeat":
            pass
        return frame

    async def any(self, seconds: float = 5) -> Frame:
        message = await self.socket.receive(timeout=seconds)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        frame: Frame = orjson.loads(message.data)
        check_frame(frame)
        return frame

    async def until(self, kind: str) -> Frame:
        while (frame := await self.any())["type"] != kind:
            pass
        return frame

    async def send(self, **command: Any) -> None:
        await self.socket.send_str(orjson.dumps(command).decode())

    async def log_in(self, ticket: str) -> Frame:
        await self.send(id=1, cmd="auth", ticket=ticket)
        return await self.next()

    async def own(self, since: int | None = None) -> Frame:
        """Subscribes to the own events."""
        more = {} if since is None else {"since_user_seq": since}
        await self.send(id=2, cmd="subscribe", channel="user", **more)
        return await self.next()

    async def subscribe(self, channel: str, *market_ids: str) -> Frame:
        await self.send(id=1, cmd="subscribe", channel=channel, market_ids=list(market_ids))
        return await self.next()

    async def book(self) -> Frame:
        """The next book frame, applied and checked."""
        frame = await self.next()
        if frame["type"] == "book.snapshot":
            self.bids.clear()
            self.asks.clear()
        else:
            assert frame["type"] == "book.delta", frame
            assert frame["prev_seq"] == self.seq
        for side, changes in ((self.bids, frame["bids"]), (self.asks, frame["asks"])):
            for price, quantity in changes:
                side[price] = quantity
                if not quantity:
                    del side[price]
        self.seq = frame["seq"]
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        assert frame["checksum"] == checksum(bids, asks)
        return frame

    async def closed_with(self, seconds: float = 5) -> int | None:
        """Reads on until the server closes; its code."""
        async with asyncio.timeout(seconds):
            async for _ in self.socket:
                pass
        return self.socket.close_code


@asynccontextmanager
async def run_live(servers: Servers, processes: int = SIDE_BY_SIDE, **changes: Any) -> AsyncIterator[Live]:
    """The service as `python -m ws_service` wires it, in this loop; with SIDE_BY_SIDE=2 in the environment
    twice, and each connection comes to the next of them."""
    async with AsyncExitStack() as outer:
        books = Books()
        services = ["predmarket.order.v1.OrderService", "predmarket.order.v1.ShardService"]
        server = GrpcServer(host="127.0.0.1", port=0, services=services)
        order_pb2_grpc.add_OrderServiceServicer_to_server(books, server.grpc)
        order_pb2_grpc.add_ShardServiceServicer_to_server(books, server.grpc)
        await server.start()
        outer.push_async_callback(server.stop, 0)
        books.address = f"127.0.0.1:{server.port}"
        bus = await nats.connect(servers.nats_url)
        outer.push_async_callback(bus.close)
        issuer = await outer.enter_async_context(run_issuer())
        redis = Redis.from_url(servers.redis_url)
        outer.push_async_callback(redis.aclose)
        fields: dict[str, Any] = {
            "nats_url": servers.nats_url,
            "redis_url": servers.redis_url,
            "jwks_url": issuer.url,
            "order_grpc": books.address,
        }
        own = {"http_port": free_port(), "goaway_spread_seconds": 0.1, **changes}
        stack = await outer.enter_async_context(AsyncExitStack())
        await _serve(stack, processes, {**fields, **own})
        http = await outer.enter_async_context(aiohttp.ClientSession())
        url = f"http://127.0.0.1:{own['http_port']}/ws/v1"
        yield Live(url, books, bus, http, stack, issuer, redis, fields)


async def _serve(stack: AsyncExitStack, processes: int, fields: dict[str, Any]) -> None:
    ports = [fields["http_port"]]
    if processes > 1:
        ports = [free_port() for _ in range(processes)]
        await stack.enter_async_context(balanced(ports, fields["http_port"]))
    for port in ports:
        settings = WsSettings(**{**fields, "http_port": port})
        process = Process("ws_service", settings, stack, OpsServer(host="127.0.0.1", port=0))
        await serve(process, settings)


async def ensure_user_events(live: Live) -> None:
    config = StreamConfig(name="USER_EVENTS", subjects=["user.>"])
    await ensure_stream(live.bus.jetstream(), config)
