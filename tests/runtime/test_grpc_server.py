"""The gRPC edge of every service: errors, deadlines, ids, unreadable messages, for all four kinds of calls."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from runtime.errors import ApiError, ErrorCode, FieldError, from_rpc_error
from runtime.grpc_client import CHANNEL_OPTIONS, call, call_metadata, call_stream, open_channel
from runtime.grpc_server import MESSAGE_MAX_BYTES, SERVER_OPTIONS, GrpcServer
from runtime.tracing import current_request_id, remaining_seconds

SERVICE = "test.v1.Echo"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SECRET = "connection string postgres://user:hunter2@db"


class Echo:
    """Answers what it is sent; `raise` and `break` fail in the ways services do."""

    async def one(self, request: StringValue, _context: Any) -> StringValue:
        return StringValue(value=self._answer(request))

    async def many(self, request: StringValue, _context: Any) -> AsyncIterator[StringValue]:
        for _ in range(3):
            yield StringValue(value=self._answer(request))

    async def gather(self, requests: AsyncIterator[StringValue], _context: Any) -> StringValue:
        return StringValue(value=",".join([self._answer(request) async for request in requests]))

    async def both(self, requests: AsyncIterator[StringValue], _context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield StringValue(value=self._answer(request))

    def _answer(self, request: StringValue) -> str:
        match request.value:
            case "raise":
                raise ApiError(
                    ErrorCode.INSUFFICIENT_FUNDS,
                    "not enough",
                    fields=[FieldError("/a", "bad")],
                    needed_micros=5,
                )
            case "break":
                raise RuntimeError(SECRET)
            case "away":
                raise ConnectionRefusedError(SECRET)
            case "ids":
                return current_request_id()
            case "remaining":
                return str(remaining_seconds())
        return request.value


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    server = GrpcServer(host="127.0.0.1", port=0, services=[SERVICE])
    echo = Echo()
    parse, serialize = StringValue.FromString, StringValue.SerializeToString
    handlers: dict[str, Any] = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(echo.one, parse, serialize),
        "unary_stream": grpc.unary_stream_rpc_method_handler(echo.many, parse, serialize),
        "stream_unary": grpc.stream_unary_rpc_method_handler(echo.gather, parse, serialize),
        "stream_stream": grpc.stream_stream_rpc_method_handler(echo.both, parse, serialize),
    }
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    await server.start()
    yield server
    await server.stop(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


async def send(
    channel: grpc.aio.Channel, kind: str, data: bytes, timeout: float | None = 5.0
) -> list[StringValue]:
    """One call of that kind with raw bytes, all its answers."""
    method = getattr(channel, kind)(
        f"/{SERVICE}/{kind}", request_serializer=None, response_deserializer=StringValue.FromString
    )
    request = iter([data]) if kind.startswith("stream") else data
    answer = method(request, timeout=timeout, metadata=call_metadata())
    if kind.endswith("_stream"):
        return [item async for item in answer]
    return [await answer]


def message(value: str) -> bytes:
    return StringValue(value=value).SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_is_answered(channel: grpc.aio.Channel, kind: str) -> None:
    answers = await send(channel, kind, message("hello"))
    assert {answer.value for answer in answers} == {"hello"}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_api_error_keeps_code_message_fields_and_details(
    channel: grpc.aio.Channel, kind: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, kind, message("raise"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    error = from_rpc_error(caught.value)
    assert error.code is ErrorCode.INSUFFICIENT_FUNDS
    assert (error.message, error.details) == ("not enough", {"needed_micros": "5"})
    assert error.fields == (FieldError("/a", "bad"),)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "code"), [("break", ErrorCode.INTERNAL), ("away", ErrorCode.UNAVAILABLE)])
async def test_a_surprise_shows_none_of_its_text(
    channel: grpc.aio.Channel, kind: str, value: str, code: ErrorCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, kind, message(value))
    assert from_rpc_error(caught.value).code is code
    shown = f"{caught.value.details()} {caught.value.trailing_metadata()} {caught.value.debug_error_string()}"
    assert "hunter2" not in shown
    assert "RuntimeError" not in shown


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_without_a_deadline_is_refused(channel: grpc.aio.Channel, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, kind, message("hello"), timeout=None)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(caught.value).code is ErrorCode.MALFORMED_REQUEST


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\xff\xff\xff\xff", b"\x0a\x02\xc3\x28"])
async def test_unreadable_bytes_are_the_callers_fault(
    channel: grpc.aio.Channel, kind: str, data: bytes
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, kind, data)
    assert from_rpc_error(caught.value).code is ErrorCode.MALFORMED_REQUEST


async def test_a_message_over_four_mebibytes_is_refused(server: GrpcServer) -> None:
    options = [("grpc.max_send_message_length", 8 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(channel, "unary_unary", message("x" * MESSAGE_MAX_BYTES))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_request_id_and_deadline_travel(channel: grpc.aio.Channel) -> None:
    method = channel.unary_unary(
        f"/{SERVICE}/unary_unary", StringValue.SerializeToString, StringValue.FromString
    )
    answer = await method(StringValue(value="ids"), timeout=5, metadata=[("x-request-id", "abc-1")])
    assert answer.value == "abc-1"
    odd = await method(StringValue(value="ids"), timeout=5, metadata=[("x-request-id", "a b" * 50)])
    assert odd.value != "a b" * 50
    assert 0 < len(odd.value) <= 64
    left = await call(method, StringValue(value="remaining"), deadline_seconds=3)
    assert 0 < float(left.value) <= 3.1


async def test_the_client_raises_what_the_service_raised(channel: grpc.aio.Channel) -> None:
    one = channel.unary_unary(
        f"/{SERVICE}/unary_unary", StringValue.SerializeToString, StringValue.FromString
    )
    with pytest.raises(ApiError) as caught:
        await call(one, StringValue(value="raise"))
    assert caught.value.code is ErrorCode.INSUFFICIENT_FUNDS
    many = channel.unary_stream(
        f"/{SERVICE}/unary_stream", StringValue.SerializeToString, StringValue.FromString
    )
    assert [item.value async for item in call_stream(many, StringValue(value="a"), deadline_seconds=5)] == [
        "a"
    ] * 3


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        method = channel.unary_unary("/a/b", StringValue.SerializeToString, StringValue.FromString)
        with pytest.raises(ApiError) as caught:
            await call(method, StringValue(), deadline_seconds=2)
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_health_follows_readiness_and_needs_no_deadline(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.set_serving(True)
    for name in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([request])):
        names = {service.name for service in answer.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names
        return


async def test_a_stop_lets_a_running_call_end(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    method = channel.stream_unary(
        f"/{SERVICE}/stream_unary", StringValue.SerializeToString, StringValue.FromString
    )

    async def requests() -> AsyncIterator[StringValue]:
        yield StringValue(value="a")
        await asyncio.sleep(0.5)
        yield StringValue(value="b")

    answer = asyncio.ensure_future(call(method, requests(), deadline_seconds=5))
    await asyncio.sleep(0.2)
    await server.stop(5)
    assert (await answer).value == "a,b"


async def test_two_servers_cannot_share_a_port(server: GrpcServer) -> None:
    second = GrpcServer(host="127.0.0.1", port=server.port, services=[SERVICE])
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()


def test_every_option_is_one_that_grpc_knows() -> None:
    """It takes any name in silence; a misspelt limit on pings ended idle connections after a minute."""
    program = Path(cygrpc.__file__).read_bytes()
    names = [name for name, _ in (*SERVER_OPTIONS, *CHANNEL_OPTIONS)]
    assert [name for name in names if name.encode() + b"\0" not in program] == []


async def test_thousands_of_calls_that_come_while_the_process_is_busy_are_all_answered(
    server: GrpcServer,
) -> None:
    sent = threading.Event()

    def flood() -> list[grpc.StatusCode]:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            method: Any = channel.unary_unary(
                f"/{SERVICE}/unary_unary",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )
            calls = [method.future(StringValue(value="x"), timeout=120) for _ in range(4_000)]
            sent.set()
            return [call.code() for call in calls]

    codes = asyncio.get_running_loop().run_in_executor(None, flood)
    _stand_still(sent)
    assert set(await codes) == {grpc.StatusCode.OK}


def _stand_still(sent: threading.Event) -> None:
    """The whole loop, as in a long turn, until what was sent has come."""
    sent.wait(60)
    time.sleep(1)
