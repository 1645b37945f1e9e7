"""Calling order_service, whichever of its processes owns a market's shard just now.

    shards = OrderShards(["127.0.0.1:7001", "127.0.0.1:7002"])
    book = await shards.call(order_pb2_grpc.OrderServiceStub, "GetBook", request, market_id=request.market_id)

NOT_SHARD_OWNER means that nothing was done, so the call is made again at the owner, within its deadline. Where no
answer came (the owner was killed, or stands still) the call is made again at whoever owns the shard then, if that is
safe: it reads, or carries a key that gives it one effect. Any other may have had its effect and is never repeated here.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode, NoAnswer
from runtime.grpc_client import DEADLINE_SECONDS, call, call_stream, call_timeout, open_channel

MARKETS_MAX = 100_000  # remembered; a market never changes its shard
CHANNELS_MAX = 64
RETRY_SECONDS = 0.05
LOOKUP_SECONDS = 1.0
REPEAT_SECONDS = 0.2  # between two attempts at what did not answer
# Of calls that may be repeated: long enough for a shard to get another owner (LEASE_SECONDS of order_service is 5),
# each attempt short enough to notice that an owner stands still.
FOLLOW_SECONDS = 9.0
ATTEMPT_SECONDS = 3.0
SILENCE_SECONDS = 5.0

Stub = Callable[[grpc.aio.Channel], Any]


def addresses_of(text: str) -> list[str]:
    """The setting ORDER_GRPC: `host:port`, divided by commas."""
    return [address.strip() for address in text.split(",") if address.strip()]


def is_repeatable(method: str, request: Any) -> bool:
    """Whether the call may be made again although it may have had its effect."""
    if method.startswith(("Get", "List")):
        return True
    if isinstance(request, order_pb2.SubmitCommandsRequest):
        commands = (getattr(item, item.WhichOneof("command") or "place") for item in request.commands)
        return all(is_repeatable("", command) for command in commands)
    return bool(
        getattr(request, "idempotency_key", "")
        or getattr(request, "client_order_id", "")
        or getattr(request, "dry_run", False)
    )


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
        self._silent_since: dict[str, float] = {}
        """Seeds that did not answer lately, and when."""

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
        deadline_seconds: float | None = None,
    ) -> Any:
        """One unary call. Without `market_id` any process is asked, and it tells who should have been.

        `deadline_seconds` None: DEADLINE_SECONDS, and of calls that may be repeated FOLLOW_SECONDS.
        """
        repeatable = is_repeatable(method, request)
        default_seconds = FOLLOW_SECONDS if repeatable else DEADLINE_SECONDS
        deadline_at = time.monotonic() + call_timeout(deadline_seconds or default_seconds)
        address = ""
        while True:
            seconds = max(0.0, deadline_at - time.monotonic())
            try:
                address = address or (await self.owner(market_id) if market_id else self._next_seed())
                return await call(
                    getattr(stub(self._channel(address)), method),
                    request,
                    deadline_seconds=min(seconds, ATTEMPT_SECONDS) if repeatable else seconds,
                    authorization=authorization,
                    metadata=self._metadata,
                )
            except ApiError as error:
                may_follow = error.code is ErrorCode.NOT_SHARD_OWNER or (
                    repeatable and isinstance(error, NoAnswer)
                )
                if isinstance(error, NoAnswer):
                    self._note_silence(address, market_id)
                if not may_follow or time.monotonic() > deadline_at - REPEAT_SECONDS * 2:
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
                address = address or (await self.owner(market_id) if market_id else self._next_seed())

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
        """Where to try next; empty: at whoever is the owner then. A shard that changes hands has none for a moment."""
        named = error.details.get("address", "")
        if named and named != refused_by:
            if market_id in self._shard_of:
                self._owner_of[self._shard_of[market_id]] = named
            return named
        await asyncio.sleep(REPEAT_SECONDS if isinstance(error, NoAnswer) else RETRY_SECONDS)
        self.forget(market_id)
        return ""

    async def _look_up(self, market_id: str) -> None:
        """Asks the processes in turn; a market nobody knows stays unknown, and its call is refused by its owner."""
        request = order_pb2.ListShardsRequest(market_id=market_id)
        failure: ApiError | None = None
        for _ in self._seeds:
            seed = self._next_seed()
            stub = order_pb2_grpc.ShardServiceStub(self._channel(seed))
            try:
                answer = await call(stub.ListShards, request, deadline_seconds=LOOKUP_SECONDS)
            except ApiError as error:
                failure = error
                if isinstance(error, NoAnswer):
                    self._note_silence(seed, market_id)
                    continue
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

    def _note_silence(self, address: str, market_id: str) -> None:
        """It is asked last for a while, and is perhaps no longer the market's owner."""
        if address in self._seeds:
            self._silent_since[address] = time.monotonic()
        self.forget(market_id)

    def _next_seed(self) -> str:
        """In turn, those first that were not silent lately."""
        now = time.monotonic()
        talking = [
            seed
            for seed in self._seeds
            if now - self._silent_since.get(seed, -SILENCE_SECONDS) >= SILENCE_SECONDS
        ]
        seeds = talking or self._seeds
        self._turn += 1
        return seeds[self._turn % len(seeds)]

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            if len(self._channels) >= CHANNELS_MAX:
                raise ApiError(ErrorCode.UNAVAILABLE)
            channel = self._channels[address] = open_channel(address)
        return channel
