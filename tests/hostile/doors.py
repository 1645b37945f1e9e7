"""The doors of the engine: each throws one hostile input and tells what came back."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import grpc
from google.rpc import status_pb2

from api_gateway.grpc_web_methods import Method, offered_methods
from api_gateway.routes import all_routes
from runtime.errors import from_rpc_status
from runtime.grpc_client import open_channel
from tests.api_gateway.grpc_web_client import BINARY, TEXT, framed, parse
from tests.api_gateway.support import Suite
from tests.hostile import values

ENDS_SESSIONS = (
    "logout",
    "DELETE /v1/sessions",
    "/suspend",
    "LogOut",
    "RevokeSession",
    "RevokeOther",
    "SuspendUser",
)
"""What would lock the campaign out: thrown with the credential of somebody else, who soon has none."""

SLOW = ("Register", "LogIn", "ChangePassword", "ResetPassword", "ForgotPassword", "/auth/", "/password")
"""What hashes passwords: thrown at seldom, because it answers at the pace of hashing."""

ANSWER_SECONDS = 20
STREAM_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` empty: no handler answered. `text`: everything a client could read."""

    code: str
    text: str = ""


@dataclass(slots=True)
class Target:
    """What is thrown at, and with what."""

    suite: Suite
    tokens: Sequence[str]
    bystander: str
    """The token of an account that nobody minds losing."""
    ids: Sequence[str]
    """Of things that are there: a market that is open, and the bystander."""

    def credential(self, chance: random.Random, called: str) -> str | None:
        """An `Authorization` for a route or method."""
        ends = any(part in called for part in ENDS_SESSIONS)
        return values.credential(chance, (self.bystander,) if ends else self.tokens)


class Door(Protocol):
    """One worker's own. `turned_away`: codes of what was refused before a handler saw it."""

    name: str
    turned_away: frozenset[str]

    async def throw(self, chance: random.Random) -> Reply: ...

    async def close(self) -> None: ...


class Rest:
    """Every route, with bodies, queries, keys and credentials of all kinds."""

    name = "REST"
    turned_away = frozenset({"UNAUTHENTICATED", "UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE"})

    def __init__(self, target: Target) -> None:
        self._target = target
        self._routes = [(route.method, route.path) for route in all_routes(lambda: True)]
        self._quick = [route for route in self._routes if not any(part in route[1] for part in SLOW)]

    async def throw(self, chance: random.Random) -> Reply:
        method, path = chance.choice(self._routes if chance.random() < 0.01 else self._quick)
        authorization = self._target.credential(chance, f"{method} {path}")
        some_id = chance.choice([*self._target.ids, *values.UUIDS, "%00", "%ff", "a%2fb"])
        path = path.replace("{id}", some_id.replace("/", "%2f").replace("{", "%7b").replace("}", "%7d"))
        if "{" in path:
            path = path.replace("{", "").replace("}", "")
        headers = {"Content-Type": chance.choice(["application/json"] * 8 + ["text/plain", "x"])}
        if authorization is not None:
            headers["Authorization"] = authorization
        if chance.random() < 0.7:
            headers["Idempotency-Key"] = chance.choice(
                ["k", "k" * 190, "k" * 300, "a b", "é", str(chance.random())]
            )
        body = None if method == "GET" else values.json_body(chance, self._order(chance))
        async with self._target.suite.http.request(
            method, self._target.suite.url + path, params=self._query(chance), data=body, headers=headers
        ) as response:
            text = await response.text(errors="replace")
        shown = text if response.status >= 400 else ""
        if "X-Request-Id" not in response.headers:  # refused before there was a request
            return Reply("", shown)
        return Reply(_rest_code(response.status, text), shown)

    async def close(self) -> None: ...

    def _order(self, chance: random.Random) -> dict[str, Any]:
        base: dict[str, Any] = {
            "market_id": self._target.ids[0],
            "side": "BUY",
            "outcome": "YES",
            "type": "LIMIT",
            "time_in_force": "GTC",
            "price_micros": 100_000,
            "quantity_micros": 1_000_000,
        }
        return chance.choice(
            (base, {"orders": [base]}, {"quantity_micros": 1_000_000}, {"question": "Why?"}, {})
        )

    def _query(self, chance: random.Random) -> dict[str, str]:
        names = ("limit", "cursor", "depth", "status", "sort", "q", "market_id", "role")
        count = chance.choice((0, 0, 1, 2))
        return {
            chance.choice(names): str(chance.choice([*values.INTEGERS, *values.TEXTS])) for _ in range(count)
        }


class _Calls:
    """Random messages for random methods."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._methods = list(offered_methods().values())
        self._quick = [method for method in self._methods if method.name not in SLOW]

    def next(self, chance: random.Random) -> tuple[Method, bytes]:
        method = chance.choice(self._methods if chance.random() < 0.01 else self._quick)
        request = method.request_class()
        values.fill(request, chance, self.target.ids)
        return method, values.damaged(chance, request.SerializeToString())


class GrpcWeb:
    """Frames, encodings, time-outs, messages."""

    name = "gRPC-Web"
    turned_away = frozenset(
        {"UNAUTHENTICATED", "MALFORMED_REQUEST", "UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE"}
    )

    def __init__(self, target: Target) -> None:
        self._target = target
        self._calls = _Calls(target)

    async def throw(self, chance: random.Random) -> Reply:
        method, message = self._calls.next(chance)
        is_text = chance.random() < 0.5
        body = framed(message, chance.choice((0, 0, 0, 0, 0, 0, 1, 0x80)))
        if chance.random() < 0.1:
            body = chance.choice((body[:-1], body + b"x", b"", b"\x00\xff\xff\xff\xff"))
        if is_text and chance.random() < 0.95:
            body = base64.b64encode(body)
        headers = {"Content-Type": TEXT if is_text else BINARY}
        timeout = chance.choice(("1n", "", "-1S", "99999999H", "5S")) if chance.random() < 0.2 else None
        headers["grpc-timeout"] = "300m" if method.is_stream else "15S"
        if timeout is not None and not method.is_stream:
            headers["grpc-timeout"] = timeout
        authorization = self._target.credential(chance, method.name)
        if authorization is not None:
            headers["Authorization"] = authorization
        async with self._target.suite.http.post(
            self._target.suite.url + method.path, data=body, headers=headers
        ) as response:
            answer = parse(response.status, response.headers, await response.read())
        if answer.status == 0:
            return Reply("OK")
        return Reply(answer.code, answer.message)

    async def close(self) -> None: ...


class Grpc:
    """The services' own ports: order_service, as bots reach it."""

    name = "gRPC"
    turned_away = frozenset({"UNAUTHENTICATED", "MALFORMED_REQUEST"})

    def __init__(self, target: Target) -> None:
        self._target = target
        self._calls = _Calls(target)
        self._channel = open_channel(target.suite.order_address)

    async def throw(self, chance: random.Random) -> Reply:
        method, message = self._calls.next(chance)
        while not method.service.startswith("predmarket.order."):
            method, message = self._calls.next(chance)
        metadata = [("x-request-id", chance.choice(("ok", "x" * 200, "a b")))]
        authorization = self._target.credential(chance, method.name)
        if authorization is not None:
            metadata.append(("authorization", authorization))
        seconds = None if chance.random() < 0.03 else float(ANSWER_SECONDS)
        try:
            if method.is_stream:
                stream: Any = self._channel.unary_stream(method.path)
                async for _ in stream(message, timeout=STREAM_SECONDS, metadata=metadata):
                    pass
            else:
                unary: Any = self._channel.unary_unary(method.path)
                await unary(message, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return _grpc_reply(error, method)
        return Reply("OK")

    async def close(self) -> None:
        await self._channel.close()


class WebSocket:
    """Commands and junk on one socket, opened again when the server has had enough."""

    name = "WebSocket"
    turned_away: frozenset[str] = frozenset()

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def throw(self, chance: random.Random) -> Reply:
        if self._socket is None or self._socket.closed:
            self._socket = await self._target.suite.http.ws_connect(
                self._target.suite.ws_url, protocols=["predmarket.v1.json"], max_msg_size=0
            )
            await self._socket.receive(ANSWER_SECONDS)  # hello
        if chance.random() < 0.05:
            await self._socket.send_bytes(b"\xff\x00junk")
        else:
            command = self._command(chance)
            # A good one now and then, so that there is something to follow, repeat and end.
            body = (
                json.dumps(command).encode() if chance.random() < 0.2 else values.json_body(chance, command)
            )
            await self._socket.send_str(body.decode("utf-8", "replace"))
        return await self._answer(self._socket)

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """A socket that has nothing to say is left."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except TimeoutError:
            self._socket = None
            raise

    def _command(self, chance: random.Random) -> dict[str, Any]:
        command = chance.choice(("subscribe", "unsubscribe", "snapshot", "auth", "list", "ping", "nothing"))
        good: dict[str, Any] = {"id": chance.randint(1, 9), "cmd": command}
        if command in ("subscribe", "unsubscribe", "snapshot"):
            channel = chance.choice(("book", "trades", "ticker", "status", "user"))
            good |= {"channel": channel, "market_ids": [self._target.ids[0]]}
        return good | ({"ticket": "x" * 40} if command == "auth" else {})

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse) -> Reply:
        async with self._in_time():
            while True:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return Reply(f"closed {socket.close_code}", str(message.extra or ""))
                frame: Mapping[str, Any] = json.loads(message.data)
                if frame["type"] == "error":
                    return Reply(str(frame["code"]), str(frame.get("message", "")))
                if "id" in frame or frame["type"] == "book.snapshot":  # the only answer of `snapshot`
                    return Reply("OK")


DOORS = (Rest, Grpc, GrpcWeb, WebSocket)


def _rest_code(status: int, text: str) -> str:
    if status < 400:
        return "OK"
    try:
        return str(json.loads(text)["code"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"


def _grpc_reply(error: grpc.aio.AioRpcError, method: Method) -> Reply:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            known = from_rpc_status(status_pb2.Status.FromString(value))
            if known is not None:
                return Reply(str(known.code), f"{known.message} {error.details()}")
    if method.is_stream and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Reply("OK")
    return Reply("", error.details() or "")
