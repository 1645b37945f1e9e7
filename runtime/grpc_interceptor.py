"""The one interceptor of every gRPC server: ids, deadline, errors, counts and times, for all four kinds of calls.

- An ApiError becomes its status with an ErrorInfo; any other exception INTERNAL without its text.
- A call without a deadline, and a message that cannot be parsed, are refused with MALFORMED_REQUEST.
- Health checks and reflection pass untouched.
"""

from __future__ import annotations  # grpc's classes are generic for the type checker only

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from runtime import metrics
from runtime.errors import ApiError, ErrorCode, trailing_metadata
from runtime.surprises import as_api_error
from runtime.tracing import begin_request

EXEMPT_PREFIXES = ("/grpc.health.", "/grpc.reflection.")

Context = Any  # grpc.aio.ServicerContext of whatever messages
Behavior = Callable[..., Any]


class _Unreadable:
    """Stands for a message that could not be parsed, until the handler's turn, when it can be answered properly."""


_UNREADABLE = _Unreadable()


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Built once per server; outermost. Each method's handler is wrapped once: there are as many as we declare."""

    def __init__(self) -> None:
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT_PREFIXES):
            return handler
        guarded = self._guarded.get(method)
        if guarded is None:
            guarded = self._guarded[method] = _guarded(handler, _MethodMetrics(method))
        return guarded


class _MethodMetrics:
    """The metrics of one method, looked up once."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.answered = metrics.GRPC_CALLS.labels(method, "OK")
        self.seconds = metrics.GRPC_SECONDS.labels(method)

    def record(self, code: str, seconds: float) -> None:
        self.seconds.observe(seconds)
        if code == "OK":
            self.answered.inc()
        else:
            metrics.GRPC_CALLS.labels(self.method, code).inc()


def _guarded(handler: Any, method: _MethodMetrics) -> grpc.RpcMethodHandler[Any, Any]:
    parse = _tolerant(handler.request_deserializer)
    serialize = handler.response_serializer
    if handler.request_streaming and handler.response_streaming:
        behavior = _stream_answer(handler.stream_stream, method, read=_readable_all)
        return grpc.stream_stream_rpc_method_handler(behavior, parse, serialize)
    if handler.request_streaming:
        behavior = _single_answer(handler.stream_unary, method, read=_readable_all)
        return grpc.stream_unary_rpc_method_handler(behavior, parse, serialize)
    if handler.response_streaming:
        behavior = _stream_answer(handler.unary_stream, method, read=_readable)
        return grpc.unary_stream_rpc_method_handler(behavior, parse, serialize)
    return grpc.unary_unary_rpc_method_handler(
        _single_answer(handler.unary_unary, method, read=_readable), parse, serialize
    )


def _single_answer(behavior: Behavior, method: _MethodMetrics, *, read: Callable[[Any], Any]) -> Behavior:
    async def call(request: Any, context: Context) -> Any:
        async with _Call(method, context) as this:
            this.check_deadline()
            return await behavior(read(request), context)

    return call


def _stream_answer(behavior: Behavior, method: _MethodMetrics, *, read: Callable[[Any], Any]) -> Behavior:
    if inspect.isasyncgenfunction(behavior):

        async def generate(request: Any, context: Context) -> AsyncIterator[Any]:
            async with _Call(method, context) as this:
                this.check_deadline()
                async for answer in behavior(read(request), context):
                    yield answer

        return generate

    async def write(request: Any, context: Context) -> None:
        async with _Call(method, context) as this:
            this.check_deadline()
            await behavior(read(request), context)

    return write


class _Call:
    """One call from its first to its last byte: sets the ids, counts, times, and aborts with a proper status."""

    def __init__(self, method: _MethodMetrics, context: Context) -> None:
        self._method = method
        self._context = context
        self._remaining_seconds: float | None = context.time_remaining()
        self._started_at = time.monotonic()

    async def __aenter__(self) -> _Call:
        headers = {key: value for key, value in self._context.invocation_metadata() if isinstance(value, str)}
        self._span = begin_request(self._method.method, headers, remaining_seconds=self._remaining_seconds)
        metrics.GRPC_IN_FLIGHT.inc()
        return self

    def check_deadline(self) -> None:
        if self._remaining_seconds is None:
            raise ApiError(ErrorCode.MALFORMED_REQUEST, "set a deadline on every call")

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        code = "OK"
        try:
            if error is None:
                return
            if not isinstance(error, Exception):  # cancelled: the caller went away, or the deadline passed
                code = "CANCELLED"
                return
            if isinstance(error, grpc.aio.AbortError):
                code = "ABORTED_BY_HANDLER"
                return
            api_error = as_api_error(error)
            code = str(api_error.code)
            await self._context.abort(
                api_error.code.grpc_status, api_error.message, trailing_metadata=trailing_metadata(api_error)
            )
        finally:
            metrics.GRPC_IN_FLIGHT.dec()
            self._method.record(code, time.monotonic() - self._started_at)
            self._span.end()


def _tolerant(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if parse is None:
        return None

    def tolerant(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError):
            return _UNREADABLE

    return tolerant


def _readable(request: Any) -> Any:
    if request is _UNREADABLE:
        raise ApiError(ErrorCode.MALFORMED_REQUEST, "the message is not valid protobuf for this method")
    return request


async def _readable_all(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)
