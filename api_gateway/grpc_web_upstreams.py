"""Calls of raw bytes to the services behind, unary and streaming; every failure is an ApiError.

A method of order_service goes to the owner of the market it names. NOT_SHARD_OWNER did nothing, so it is tried again
at the owner.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc

from api_gateway.grpc_web_methods import Method, Upstream
from runtime.grpc_client import call, call_stream
from runtime.order_shards import OrderShards


class _Raw:
    """A stub of one service that takes and gives bytes: its attributes are the methods, as of a generated one."""

    def __init__(self, channel: grpc.aio.Channel, method: Method) -> None:
        self._channel = channel
        self._method = method

    def __getattr__(self, name: str) -> Any:
        make = self._channel.unary_stream if self._method.is_stream else self._channel.unary_unary
        return make(f"/{self._method.service}/{name}")


class Upstreams:
    """`orders` must not prove anything: order_service counts what comes this way by itself."""

    def __init__(self, orders: OrderShards, channels: Mapping[Upstream, grpc.aio.Channel]) -> None:
        self._orders = orders
        self._channels = channels

    async def unary(
        self, method: Method, message: bytes, *, authorization: str | None, seconds: float
    ) -> bytes:
        """The answer."""
        if method.upstream is Upstream.ORDERS:
            answer: bytes = await self._orders.call(
                lambda channel: _Raw(channel, method),
                method.name,
                message,
                market_id=method.market_id(message),
                authorization=authorization,
                deadline_seconds=seconds,
            )
            return answer
        bound = getattr(_Raw(self._channels[method.upstream], method), method.name)
        answer = await call(bound, message, deadline_seconds=seconds, authorization=authorization)
        return answer

    def stream(
        self, method: Method, message: bytes, *, authorization: str | None, seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The answers."""
        if method.upstream is Upstream.ORDERS:
            return self._orders.stream(
                lambda channel: _Raw(channel, method),
                method.name,
                message,
                market_id=method.market_id(message),
                authorization=authorization,
                deadline_seconds=seconds,
            )
        bound = getattr(_Raw(self._channels[method.upstream], method), method.name)
        return call_stream(bound, message, deadline_seconds=seconds, authorization=authorization)
