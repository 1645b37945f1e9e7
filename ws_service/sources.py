"""Where feeds read from: order_service for what is, JetStream for what a subscription missed."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from engine.published_book import Book, Figures
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.clock import to_rfc3339
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from runtime.order_shards import OrderShards
from ws_service.bus_messages import (
    StatusMessage,
    TradeMessage,
    UserMessage,
    status_message,
    trade_message,
    user_message,
)
from ws_service.days import Days
from ws_service.feed import Loaded
from ws_service.streams import AWAY, MARKET_EVENTS, USER_EVENTS, Streams, ago

log = get_logger(__name__)

LOADS_AT_ONCE = 32
LOAD_SECONDS = 3.0
TRADES_REACH = timedelta(minutes=10)
DISORDER = timedelta(seconds=30)
"""A user's events of two shards may stand in the stream in another order than they are numbered; not by more."""
Message = TypeVar("Message")


class Sources:
    """Bounded: a burst of subscriptions asks order_service a few at a time."""

    def __init__(self, orders: OrderShards, streams: Streams, days: Days) -> None:
        self.days = days
        self._orders = orders
        self._streams = streams
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)

    async def market(self, market_id: str) -> Loaded:
        """The live book and figures. Raises ApiError."""
        async with self._loads:
            await self.days.learn(market_id)
            answer: order_pb2.GetBookResponse = await self._ask(
                "GetBook", order_pb2.GetBookRequest(market_id=market_id), market_id
            )
            found: order_pb2.GetMarketResponse = await self._ask(
                "GetMarket", order_pb2.GetMarketRequest(market_id=market_id), market_id
            )
        book = Book(
            epoch=answer.epoch,
            seq=answer.seq,
            time=answer.time,
            bids={level.price_micros: level.quantity_micros for level in answer.bids},
            asks={level.price_micros: level.quantity_micros for level in answer.asks},
            pool_yes_micros=answer.pool_yes_micros,
            pool_no_micros=answer.pool_no_micros,
        )
        figures = Figures(
            seq=found.market.seq,
            probability_micros=found.market.probability_micros,
            last_price_micros=found.market.last_price_micros,
            collateral_micros=found.market.collateral_micros,
            volume_micros=found.market.volume_micros,
            status=found.market.status,
        )
        return Loaded(book, answer.last_trade_seq, figures, found.market.tick_micros)

    async def status(self, market_id: str) -> dict[str, Any]:
        """A `status` frame's fields. Raises ApiError."""
        async with self._loads:
            answer = await self._ask("GetMarket", order_pb2.GetMarketRequest(market_id=market_id), market_id)
        market = answer.market
        return {
            "market_id": market.market_id,
            "seq": market.seq,
            "status": market.status,
            "reason": market.reason or None,
            "outcome": market.outcome or None,
            "closes_at": to_rfc3339(market.closes_at) if market.closes_at else None,
        }

    async def trades(self, market_id: str, after_seq: int, until_seq: int) -> list[TradeMessage]:
        """Those of the stream's last minutes, in order."""
        found: list[TradeMessage] = []

        def take(data: bytes) -> bool:
            message = _readable(trade_message, data)
            if message is not None and message.seq > after_seq:
                found.append(message)
            return bool(found) and found[-1].seq >= until_seq

        await self._streams.read(MARKET_EVENTS, f"market.{market_id}.trade", ago(TRADES_REACH), take)
        return found

    async def statuses(self, reach: timedelta) -> list[StatusMessage]:
        """Of all markets, of so long ago until now, in order."""
        found: list[StatusMessage] = []

        def take(data: bytes) -> bool:
            message = _readable(status_message, data)
            if message is not None:
                found.append(message)
            return False

        await self._streams.read(MARKET_EVENTS, "market.*.status", ago(reach), take)
        return found

    async def last_of_user(self, user_id: str) -> UserMessage | None:
        """The newest in the stream; None when nothing has happened as long as the stream reaches. Raises
        UNAVAILABLE."""
        try:
            data = await self._streams.last(USER_EVENTS, user_subject(user_id))
        except AWAY as error:
            log.warning("a user's last event cannot be read", error=type(error).__name__)
            raise ApiError(ErrorCode.UNAVAILABLE) from None
        return None if data is None else _readable(user_message, data)

    async def of_user(self, user_id: str, after_seq: int, until_seq: int) -> list[UserMessage]:
        """What continues `after_seq` without a gap, in order, up to `until_seq` or as far as the stream has it.
        Raises UNAVAILABLE."""
        by_first: dict[int, UserMessage] = {}

        def is_later(data: bytes) -> bool:
            message = _readable(user_message, data)
            return message is not None and message.last_seq > after_seq

        def take(data: bytes) -> bool:
            message = _readable(user_message, data)
            if message is not None and message.last_seq > after_seq:
                by_first[message.first_seq] = message
            chain = _chained(by_first, after_seq)
            return bool(chain) and chain[-1].last_seq >= until_seq

        subject = user_subject(user_id)
        try:
            time = await self._streams.time_of_first(USER_EVENTS, subject, is_later)
        except AWAY as error:
            log.warning("a user's events cannot be read", error=type(error).__name__)
            raise ApiError(ErrorCode.UNAVAILABLE) from None
        if time is not None:
            await self._streams.read(USER_EVENTS, subject, time - DISORDER, take)
        return _chained(by_first, after_seq)

    async def _ask(self, method: str, request: Any, market_id: str) -> Any:
        return await self._orders.call(
            order_pb2_grpc.OrderServiceStub,
            method,
            request,
            market_id=market_id,
            deadline_seconds=LOAD_SECONDS,
        )


def user_subject(user_id: str) -> str:
    """Where a user's events are published."""
    return f"user.{user_id}.events"


def _chained(by_first: dict[int, UserMessage], after_seq: int) -> list[UserMessage]:
    """Those that follow each other from there on. One may begin before, or be published twice."""
    chain: list[UserMessage] = []
    for first_seq in sorted(by_first):
        if first_seq > after_seq + 1:
            break
        message = by_first[first_seq]
        if message.last_seq > after_seq:
            chain.append(message)
            after_seq = message.last_seq
    return chain


def _readable(read: Callable[[bytes], Message], data: bytes) -> Message | None:
    """None for what does not fit: it was reported when it was heard."""
    try:
        return read(data)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
