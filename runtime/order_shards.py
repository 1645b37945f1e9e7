"""Calling order_service, whichever of its processes owns a market's shard just now.

    shards = OrderShards(["127.0.0.1:7001", "127.0.0.1:7002"])
    book = await shards.call(order_pb2_grpc.OrderServiceStub, "GetBook", request, market_id=request.market_id)

NOT_SHARD_OWNER means that nothing was done, so the call is made again at the owner, within its deadline. A call
that may have had an effect is never repeated here: its caller does that, with the same idempotency key.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import DEADLINE_SECONDS, call, call_stream, open_channel

MARKETS_MAX = 100_000  # remembered; a market never changes its shard
CHANNELS_MAX = 64
RETRY_SECONDS = 0.05
LOOKUP_SECONDS = 1.0

Stub = Callable[[grpc.aio.Channel], Any]


def addresses_of(text: str) -> list[str]:
    """The setting ORDER_GRPC: `host:port`, divided by commas."""
    return [address.strip() for address in text.split(",") if address.strip()]


class OrderShards:
    """`addresses`: one or more order_service processes; others are found through them. `metadata` goes with calls."""

    def __init__(self, addresses: Sequence[str], *, metadata: Sequence[tuple[str, str]] = ()) -> None:
        assert addresses, "ORDER_GRPC names no process"
        self._metadata = metadata
        self._seeds = list(addresses)
        self._channels = {address: open_channel(address) for address in addresses}
        self._shard_of: OrderedDict[str, int] = OrderedDict()
        self._owner_of: dict[int, str] = {}
        self._turn = 0

    async def close(self) -> None:
        """Closes every channel."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def call(
        self,
        stub: Stub,
        method: str,
        request: Any,
        *,
        market_id: str = "",
        authorization: str | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> Any:
        """One unary call. Without `market_id` any process is asked, and it tells who should have been."""
        deadline_at = time.monotonic() + deadline_seconds
        address = await self.owner(market_id) if market_id else self._next_seed()
        while True:
            remaining_seconds = deadline_at - time.monotonic()
            try:
                bound = getattr(stub(self._channel(address)), method)
                return await call(
                    bound,
                    request,
                    deadline_seconds=max(0.0, remaining_seconds),
                    authorization=authorization,
                    metadata=self._metadata,
                )
            except ApiError as error:
                if error.code is not ErrorCode.NOT_SHARD_OWNER or remaining_seconds <= RETRY_SECONDS * 2:
                    if error.code is ErrorCode.UNAVAILABLE and market_id:
                        self.forget(market_id)
                    raise
                address = await self._after_refusal(error, address, market_id)

    async def stream(
        self,
        stub: Stub,
        method: str,
        request: Any,
        *,
        market_id: str = "",
        authorization: str | None = None,
        deadline_seconds: float,
    ) -> AsyncGenerator[Any, None]:
        """The answers of a server-streaming call. One that has not answered yet follows its shard, for as long as a
        unary call would."""
        give_up_at = time.monotonic() + min(deadline_seconds, DEADLINE_SECONDS)
        address = await self.owner(market_id) if market_id else self._next_seed()
        has_begun = False
        while True:
            bound = getattr(stub(self._channel(address)), method)
            answers = call_stream(
                bound, request, deadline_seconds=deadline_seconds, authorization=authorization
            )
            try:
                async with aclosing(answers):
                    async for answer in answers:
                        has_begun = True
                        yield answer
                    return
            except ApiError as error:
                if error.code is not ErrorCode.NOT_SHARD_OWNER or has_begun or time.monotonic() > give_up_at:
                    if market_id:
                        self.forget(market_id)
                    raise
                address = await self._after_refusal(error, address, market_id)

    async def owner(self, market_id: str) -> str:
        """The address of the process that owns the market's shard, as far as is known."""
        shard = self._shard_of.get(market_id)
        if shard is None or shard not in self._owner_of:
            await self._look_up(market_id)
            shard = self._shard_of.get(market_id)
        return self._owner_of.get(-1 if shard is None else shard) or self._next_seed()

    def forget(self, market_id: str) -> None:
        """Look the owner up again before the next call."""
        shard = self._shard_of.get(market_id)
        if shard is not None:
            self._owner_of.pop(shard, None)

    async def _after_refusal(self, error: ApiError, refused_by: str, market_id: str) -> str:
        """Where to try next. A shard that changes hands has no owner for a moment."""
        named = error.details.get("address", "")
        if named and named != refused_by:
            if market_id in self._shard_of:
                self._owner_of[self._shard_of[market_id]] = named
            return named
        await asyncio.sleep(RETRY_SECONDS)
        if not market_id:
            return self._next_seed()
        self.forget(market_id)
        return await self.owner(market_id)

    async def _look_up(self, market_id: str) -> None:
        """Asks the processes in turn; a market nobody knows stays unknown, and its call is refused by its owner."""
        request = order_pb2.ListShardsRequest(market_id=market_id)
        failure: ApiError | None = None
        for _ in self._seeds:
            stub = order_pb2_grpc.ShardServiceStub(self._channel(self._next_seed()))
            try:
                answer = await call(stub.ListShards, request, deadline_seconds=LOOKUP_SECONDS)
            except ApiError as error:
                failure = error
                if error.code in (ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED):
                    continue
                if error.code is ErrorCode.MARKET_NOT_FOUND:
                    return
                raise
            self._owner_of = {row.shard: row.address for row in answer.shards if row.address}
            if answer.market_shard >= 0:
                self._shard_of[market_id] = answer.market_shard
                if len(self._shard_of) > MARKETS_MAX:
                    self._shard_of.popitem(last=False)
            return
        raise failure or ApiError(ErrorCode.UNAVAILABLE)

    def _next_seed(self) -> str:
        self._turn += 1
        return self._seeds[self._turn % len(self._seeds)]

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            if len(self._channels) >= CHANNELS_MAX:
                raise ApiError(ErrorCode.UNAVAILABLE)
            channel = self._channels[address] = open_channel(address)
        return channel
