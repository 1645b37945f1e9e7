"""Calling another service: a channel with our options, and calls that always have a deadline and carry the ids.

    channel = open_channel(settings.order_grpc)          # process.enter(...) closes it
    stub = order_pb2_grpc.OrderServiceStub(channel)
    order = await call(stub.PlaceOrder, request, deadline_seconds=5, authorization=header)

`call` raises ApiError, never AioRpcError.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc

from runtime.errors import from_rpc_error
from runtime.grpc_server import MESSAGE_MAX_BYTES
from runtime.tracing import outgoing_headers, remaining_seconds

DEADLINE_SECONDS = 5.0

CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A restarted service is found again within a second or so.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def open_channel(target: str, *, spread: bool = False) -> grpc.aio.Channel:
    """A channel to `host:port`; connects at the first call. Use it as an async context manager, or close it.

    `spread`: of a name with several addresses, or of several `ip:port` divided by commas, each takes its turn, but none
    that is away.
    """
    if not spread:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    address = f"ipv4:{target}" if "," in target else target
    options: list[tuple[str, int | str]] = [*CHANNEL_OPTIONS, ("grpc.lb_policy_name", "round_robin")]
    return grpc.aio.insecure_channel(address, options=options)


def call_metadata(authorization: str | None = None) -> list[tuple[str, str]]:
    """The ids of the current request, and the caller's `Bearer ...` when given."""
    metadata = list(outgoing_headers().items())
    if authorization:
        metadata.append(("authorization", authorization))
    return metadata


def call_timeout(deadline_seconds: float = DEADLINE_SECONDS) -> float:
    """The deadline of an outgoing call: never later than that of the request we work on."""
    remaining = remaining_seconds()
    return deadline_seconds if remaining is None else min(deadline_seconds, remaining)


async def call(
    method: Any,
    request: Any,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    authorization: str | None = None,
    wait_for_ready: bool = False,
    metadata: Sequence[tuple[str, str]] = (),
) -> Any:
    """One unary call. `wait_for_ready` waits, within the deadline, for a service that is not up yet."""
    try:
        return await method(
            request,
            timeout=call_timeout(deadline_seconds),
            metadata=[*call_metadata(authorization), *metadata],
            wait_for_ready=wait_for_ready,
        )
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


async def call_stream(
    method: Any, request: Any, *, deadline_seconds: float, authorization: str | None = None
) -> AsyncGenerator[Any, None]:
    """The answers of a server-streaming call. `request` may be an async iterator when the method takes a stream."""
    answers = method(request, timeout=call_timeout(deadline_seconds), metadata=call_metadata(authorization))
    try:
        async for answer in answers:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    finally:
        answers.cancel()
