"""gRPC-Web: `POST /{package.Service}/{Method}` from browsers, passed on as raw bytes to the services behind.

Binary (`application/grpc-web`, `+proto`) and base64 (`application/grpc-web-text`, `+proto`), unary and server
streaming. Of the client's metadata only `authorization`, `grpc-timeout`, `x-request-id` and `traceparent` count. A call
that fails before its first message is answered with trailers only, in the headers. A client that goes away ends the
call behind.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from api_gateway import grpc_web_frames as frames
from api_gateway.cors import Cors
from api_gateway.grpc_web_methods import Method
from api_gateway.grpc_web_upstreams import Upstreams
from api_gateway.limits import caller_of
from api_gateway.metrics import REQUEST_SECONDS, REQUESTS
from api_gateway.peers import Peers
from runtime.errors import ApiError, ErrorCode
from runtime.rate_policy import Bucket, Caller, RateGate
from runtime.surprises import as_api_error
from runtime.tokens import TokenVerifier
from runtime.tracing import begin_request, current_request_id

UNARY_SECONDS: Final = 10.0
UNARY_SECONDS_MAX: Final = 30.0
STREAM_SECONDS_MAX: Final = 3_600.0
"""A stream without a deadline of its own ends after this long too; its client opens another."""

STREAMS_MAX: Final = 1_000
STREAMS_PER_CALLER_MAX: Final = 20
"""So that nobody has them all; without a credential the address is the caller."""

GONE_POLL_SECONDS: Final = 0.25
METHOD: Final = "gRPC-Web"
ALLOWED_HEADERS: Final = (
    "authorization, content-type, grpc-timeout, traceparent, x-grpc-web, x-request-id, x-user-agent"
)
EXPOSED_HEADERS: Final = "grpc-message, grpc-status, grpc-status-details-bin, x-request-id"
# Whether the body is base64; answers come in the type that was asked in.
CONTENT_TYPES: Final[Mapping[str, bool]] = {
    "application/grpc-web": False,
    "application/grpc-web+proto": False,
    "application/grpc-web-text": True,
    "application/grpc-web-text+proto": True,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """One call on its way through."""

    request: web.Request
    method: Method
    content_type: str
    authorization: str | None
    ends_at: float

    @property
    def is_text(self) -> bool:
        return CONTENT_TYPES[self.content_type]

    @property
    def remaining_seconds(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())


class GrpcWeb:
    """`add_to(app)` adds its routes."""

    def __init__(
        self,
        upstreams: Upstreams,
        methods: Mapping[str, Method],
        verifier: TokenVerifier,
        gate: RateGate,
        cors: Cors,
        peers: Peers,
    ) -> None:
        self._upstreams = upstreams
        self._methods = methods
        self._verifier = verifier
        self._gate = gate
        self._cors = cors
        self._peers = peers
        self._streams: Counter[str] = Counter()
        """Open ones, by caller."""

    def add_to(self, app: web.Application) -> None:
        path = r"/{service:predmarket\.[^/]+}/{method:[^/]+}"
        app.router.add_route("POST", path, self._handle)
        app.router.add_route("OPTIONS", path, self._preflight)

    async def _preflight(self, request: web.Request) -> web.Response:
        headers = self._cors.preflight(request.headers.get("Origin"), methods="POST", allowed=ALLOWED_HEADERS)
        return web.Response(status=204, headers=headers)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        method = self._methods.get(request.path)
        name = method.path if method else "unknown"
        span = begin_request(name, {key.lower(): value for key, value in request.headers.items()})
        status = "OK"
        try:
            async with _ended_when_gone(request):
                return await self._answered(request, method)
        except Exception as error:  # the one place where surprises end; as_api_error logs them
            refusal = as_api_error(error)
            status = str(refusal.code)
            return self._refused(request, refusal)
        finally:
            span.end()
            REQUESTS.labels(METHOD, name, status).inc()
            REQUEST_SECONDS.labels(name).observe(time.monotonic() - started)

    async def _answered(self, request: web.Request, method: Method | None) -> web.StreamResponse:
        content_type = _content_type(request)
        if method is None:
            raise ApiError(ErrorCode.METHOD_NOT_ALLOWED, "There is no such method here.")
        authorization = _single(request, "Authorization")
        longest = STREAM_SECONDS_MAX if method.is_stream else UNARY_SECONDS_MAX
        default = STREAM_SECONDS_MAX if method.is_stream else UNARY_SECONDS
        seconds = frames.timeout_seconds(_single(request, "grpc-timeout"), default=default, longest=longest)
        call = _Call(request, method, content_type, authorization, time.monotonic() + seconds)
        try:
            async with asyncio.timeout(seconds):
                caller = await self._caller(call)
                message = frames.message_of(await _body(request), is_text=call.is_text)
        except TimeoutError:
            raise ApiError(ErrorCode.DEADLINE_EXCEEDED) from None
        if call.remaining_seconds <= 0:
            raise ApiError(ErrorCode.DEADLINE_EXCEEDED)
        if method.is_stream:
            return await self._streamed(call, message, caller.name)
        return await self._unary(call, message)

    async def _caller(self, call: _Call) -> Caller:
        """Counted: what order_service does not count for itself is a read here, or an account's business."""
        identity = None
        if call.authorization is not None:
            identity = await self._verifier.identity(call.authorization)
        caller = caller_of(identity, self._peers.address(call.request))
        if identity is None or not call.method.is_counted_there:
            bucket = Bucket.ADMIN if call.method.is_for_admins else Bucket.PUBLIC
            await self._gate.require(bucket, caller, is_read=call.method.is_read)
        return caller

    async def _unary(self, call: _Call, message: bytes) -> web.Response:
        answer = await self._upstreams.unary(
            call.method, message, authorization=call.authorization, seconds=call.remaining_seconds
        )
        sent = (frames.frame(answer), frames.trailer_frame(frames.trailers_of(None)))
        body = frames.encoded(sent, is_text=call.is_text)
        return web.Response(body=body, headers=self._headers(call.request, call.content_type))

    async def _streamed(self, call: _Call, message: bytes, caller_name: str) -> web.StreamResponse:
        if self._streams.total() >= STREAMS_MAX:
            raise ApiError(ErrorCode.OVERLOADED)
        if self._streams[caller_name] >= STREAMS_PER_CALLER_MAX:
            message_text = f"At most {STREAMS_PER_CALLER_MAX} streams at once: end one first."
            raise ApiError(ErrorCode.OVERLOADED, message_text)
        self._streams[caller_name] += 1
        try:
            answers = self._upstreams.stream(
                call.method, message, authorization=call.authorization, seconds=call.remaining_seconds
            )
            async with aclosing(answers):
                return await self._passed_on(call, answers)
        finally:
            self._streams[caller_name] -= 1
            if not self._streams[caller_name]:
                del self._streams[caller_name]

    async def _passed_on(self, call: _Call, answers: AsyncIterator[bytes]) -> web.StreamResponse:
        first = await anext(answers, None)  # a refusal before it is answered with trailers only
        response = web.StreamResponse(headers=self._headers(call.request, call.content_type))
        await response.prepare(call.request)
        ending: ApiError | None = None
        try:
            if first is not None:
                await response.write(frames.encoded((frames.frame(first),), is_text=call.is_text))
            async for answer in answers:
                await response.write(frames.encoded((frames.frame(answer),), is_text=call.is_text))
        except ConnectionError:
            return response  # nobody is there to be told
        except Exception as error:  # the head is out: the trailers tell
            ending = as_api_error(error)
        trailers = frames.trailer_frame(frames.trailers_of(ending))
        await response.write_eof(frames.encoded((trailers,), is_text=call.is_text))
        return response

    def _refused(self, request: web.Request, error: ApiError) -> web.Response:
        """Trailers only; a body that is no gRPC-Web gets its HTTP status too."""
        content_type = request.headers.get("Content-Type", "").strip().lower()
        known = content_type in CONTENT_TYPES
        headers = self._headers(request, content_type if known else "application/grpc-web+proto")
        return web.Response(
            status=200 if known else error.code.http_status,
            headers={**headers, **frames.trailers_of(error)},
        )

    def _headers(self, request: web.Request, content_type: str) -> dict[str, str]:
        return {
            **self._cors.headers(request.headers.get("Origin"), exposed=EXPOSED_HEADERS),
            "Content-Type": content_type,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": current_request_id(),
            "Server": "predmarket",
        }


def _content_type(request: web.Request) -> str:
    content_type = request.headers.get("Content-Type", "").strip().lower()
    if content_type not in CONTENT_TYPES or "Content-Encoding" in request.headers:
        raise ApiError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            "The body must be application/grpc-web or application/grpc-web-text, with +proto or without.",
        )
    return content_type


def _single(request: web.Request, name: str) -> str | None:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise ApiError(ErrorCode.MALFORMED_REQUEST, f"the header {name} came more than once")
    return values[0] if values else None


async def _body(request: web.Request) -> bytes:
    """Larger than REST's bodies may be. Raises PAYLOAD_TOO_LARGE as soon as it is clear."""
    body = bytearray()
    if (request.content_length or 0) > frames.BODY_MAX_BYTES:
        raise ApiError(ErrorCode.PAYLOAD_TOO_LARGE)
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > frames.BODY_MAX_BYTES:
                raise ApiError(ErrorCode.PAYLOAD_TOO_LARGE)
    except web.RequestPayloadError:
        raise ApiError(ErrorCode.MALFORMED_REQUEST) from None
    return bytes(body)


@asynccontextmanager
async def _ended_when_gone(request: web.Request) -> AsyncIterator[None]:
    """Cancels the body of the `with` when the client closes its connection."""
    task: asyncio.Task[Any] | None = asyncio.current_task()
    assert task is not None

    async def watch() -> None:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(GONE_POLL_SECONDS)
        task.cancel()

    watching = asyncio.create_task(watch(), name="client still there")
    try:
        yield
    finally:
        watching.cancel()
