"""A real auth_service in the test's own loop, and a PointsService for it to ask."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from auth_service.process import serve
from auth_service.settings import AuthSettings
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.credentials import AuthService
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.grpc_server import GrpcServer
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port
from runtime.tokens import TokenVerifier

PASSWORD = "kV7#qLm2w"
CHEAP_HASHING: dict[str, Any] = {"argon2_time_cost": 1, "argon2_memory_kib": 64}


class Points(order_pb2_grpc.PointsServiceServicer):
    """Grants by the protocol's rules: one effect per key, another body refused, role `service` only.

    `refuse_with`: the answer while it is set.
    """

    def __init__(self) -> None:
        self.paid: dict[str, order_pb2.GrantPointsRequest] = {}
        self.asked: list[str] = []
        self.refuse_with: ErrorCode | None = None
        self.verifier: TokenVerifier | None = None
        self.address = ""

    async def GrantPoints(
        self, request: order_pb2.GrantPointsRequest, context: Any
    ) -> order_pb2.GrantPointsResponse:
        if self.verifier is not None:
            (await self.verifier.caller(context)).require("service")
        self.asked.append(request.idempotency_key)
        if self.refuse_with is not None:
            raise ApiError(self.refuse_with)
        first = self.paid.setdefault(request.idempotency_key, request)
        if first != request:
            raise ApiError(ErrorCode.IDEMPOTENCY_KEY_REUSED)
        return order_pb2.GrantPointsResponse(seq=len(self.paid), available_micros=first.amount_micros)


@asynccontextmanager
async def serve_points(points: Points) -> AsyncIterator[Points]:
    server = GrpcServer(host="127.0.0.1", port=0, services=["predmarket.order.v1.PointsService"])
    order_pb2_grpc.add_PointsServiceServicer_to_server(points, server.grpc)
    await server.start()
    points.address = f"127.0.0.1:{server.port}"
    try:
        yield points
    finally:
        await server.stop(0)


@dataclass(frozen=True, slots=True)
class Auth:
    """A running auth_service; `stub` methods are called through `ask`."""

    channel: grpc.aio.Channel
    address: str
    jwks_url: str
    verifier: TokenVerifier
    mail_folder: Path

    async def ask(
        self,
        method: str,
        request: Any,
        *,
        token: str = "",
        deadline_seconds: float = 10,
        service: str = "AuthService",
    ) -> Any:
        header = f"Bearer {token}" if token else None
        stub_method = getattr(getattr(auth_pb2_grpc, f"{service}Stub")(self.channel), method)
        return await call(stub_method, request, deadline_seconds=deadline_seconds, authorization=header)

    async def admin(self, method: str, request: Any, token: str) -> Any:
        return await self.ask(method, request, token=token, service="UserAdminService")

    async def api_key(self, token: str, *scopes: int, **fields: Any) -> auth_pb2.CreateApiKeyResponse:
        chosen = scopes or (auth_pb2.API_KEY_SCOPE_READ, auth_pb2.API_KEY_SCOPE_TRADE)
        request = auth_pb2.CreateApiKeyRequest(**{"name": "bot", "scopes": chosen, **fields})
        response: auth_pb2.CreateApiKeyResponse = await self.ask("CreateApiKey", request, token=token)
        return response

    async def mails(self, count: int) -> list[str]:
        """The mails in the folder, oldest first, once there are so many."""
        async with asyncio.timeout(20):
            while len(files := sorted(self.mail_folder.glob("*.txt"))) < count:
                await asyncio.sleep(0.02)
        return [file.read_text() for file in files]

    async def register(self, email: str = "ada@example.org", **fields: str) -> auth_pb2.RegisterResponse:
        request = auth_pb2.RegisterRequest(email=email, **{"password": PASSWORD, **fields})
        response: auth_pb2.RegisterResponse = await self.ask("Register", request)
        return response

    async def log_in(
        self, email: str, password: str = PASSWORD, user_agent: str = ""
    ) -> auth_pb2.LogInResponse:
        request = auth_pb2.LogInRequest(email=email, password=password, user_agent=user_agent)
        response: auth_pb2.LogInResponse = await self.ask("LogIn", request)
        return response

    async def refresh(self, refresh_token: str) -> auth_pb2.Tokens:
        response = await self.ask("Refresh", auth_pb2.RefreshRequest(refresh_token=refresh_token))
        tokens: auth_pb2.Tokens = response.tokens
        return tokens

    async def refusal_of(self, call_under_way: Awaitable[object]) -> ApiError:
        with pytest.raises(ApiError) as refused:
            await call_under_way
        return refused.value


@asynccontextmanager
async def run_auth(database_url: str, order_grpc: str, **changes: Any) -> AsyncIterator[Auth]:
    """The service as `python -m auth_service` wires it, in this loop."""
    fields = {"database_url": database_url, "order_grpc": order_grpc, "grpc_port": free_port()}
    settings = AuthSettings(**{**fields, **CHEAP_HASHING, **changes})
    async with AsyncExitStack() as outer:
        ops = OpsServer(host="127.0.0.1", port=0)
        await ops.start()
        outer.push_async_callback(ops.stop)
        stack = await outer.enter_async_context(AsyncExitStack())
        process = Process("auth_service", settings, stack, ops)
        await serve(process, settings)
        await process.set_ready(True)
        address = f"127.0.0.1:{settings.grpc_port}"
        channel = await outer.enter_async_context(open_channel(address))
        jwks_url = f"http://127.0.0.1:{ops.port}/.well-known/jwks.json"
        # As another service has it: over the network, following the feed.
        authority = AuthService(address)
        outer.push_async_callback(authority.close)
        verifier = TokenVerifier(
            jwks_url=jwks_url, issuer="predmarket", audience="predmarket-api", authority=authority
        )
        outer.push_async_callback(verifier.close)
        following = asyncio.create_task(verifier.follow())
        outer.callback(following.cancel)
        yield Auth(channel, address, jwks_url, verifier, settings.mail_folder)


async def make_admin(auth: Auth, rows: Any, email: str = "root@example.org") -> auth_pb2.LogInResponse:
    """An administrator, logged in."""
    await auth.register(email)
    await rows.execute("UPDATE users SET role = 'admin' WHERE email = $1", email)
    return await auth.log_in(email)


async def refused_within(verifier: TokenVerifier, credential: str, seconds: float) -> float:
    """How long the verifier went on accepting it."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while await code_of(verifier, credential) is not ErrorCode.UNAUTHENTICATED:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def code_of(verifier: TokenVerifier, credential: str) -> ErrorCode | None:
    """Why it is refused; None: it is accepted."""
    try:
        await verifier.identity(f"Bearer {credential}")
    except ApiError as error:
        return error.code
    return None


async def raw_call(auth: Auth, method: str, body: bytes) -> grpc.StatusCode:
    """The status of a call with these very bytes; OK included."""
    async with open_channel(auth.address) as channel:
        bare: Any = channel.unary_unary(f"/predmarket.auth.v1.AuthService/{method}")
        try:
            await bare(body, timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK
