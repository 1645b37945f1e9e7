"""Where feeds read from: order_service for what is, JetStream for trades that a subscription missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.clock import to_rfc3339
from runtime.logs import get_logger
from runtime.order_shards import OrderShards
from ws_service.book import Book
from ws_service.bus_messages import TradeMessage, trade_message
from ws_service.feed import Loaded

log = get_logger(__name__)

STREAM = "MARKET_EVENTS"
LOADS_AT_ONCE = 32
LOAD_SECONDS = 3.0
RECOVER_SECONDS = 3.0
RECOVER_BATCH = 100
RECOVER_REACH = timedelta(minutes=10)


class Sources:
    """Bounded: a burst of subscriptions asks order_service a few at a time."""

    def __init__(self, orders: OrderShards, bus: Client) -> None:
        self._orders = orders
        self._bus = bus
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)

    async def book(self, market_id: str) -> Loaded:
        """The live book. Raises ApiError."""
        answer: order_pb2.GetBookResponse = await self._ask(
            "GetBook", order_pb2.GetBookRequest(market_id=market_id), market_id
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
        return Loaded(book, answer.last_trade_seq)

    async def status(self, market_id: str) -> dict[str, Any]:
        """A `status` frame's fields. Raises ApiError."""
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
        try:
            return await self._read_trades(market_id, after_seq, until_seq)
        except (NatsError, TimeoutError) as error:
            log.warning("trades could not be read again", market_id=market_id, error=type(error).__name__)
            return []

    async def _ask(self, method: str, request: Any, market_id: str) -> Any:
        async with self._loads:
            return await self._orders.call(
                order_pb2_grpc.OrderServiceStub,
                method,
                request,
                market_id=market_id,
                deadline_seconds=LOAD_SECONDS,
            )

    async def _read_trades(self, market_id: str, after_seq: int, until_seq: int) -> list[TradeMessage]:
        start = (datetime.now(UTC) - RECOVER_REACH).isoformat().replace("+00:00", "Z")
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=start,  # type: ignore[arg-type]  # declared as a number, sent as a time
            inactive_threshold=30,
        )
        subscription = await self._bus.jetstream().pull_subscribe(
            f"market.{market_id}.trade", stream=STREAM, config=config
        )
        found: list[TradeMessage] = []
        try:
            async with asyncio.timeout(RECOVER_SECONDS):
                while not found or found[-1].seq < until_seq:
                    for raw in await subscription.fetch(RECOVER_BATCH, timeout=1):
                        await raw.ack()
                        message = _readable(raw.data)
                        if message is not None and message.seq > after_seq:
                            found.append(message)
        except (TimeoutError, NatsError):
            log.info("the stream has no more trades", market_id=market_id, after_seq=after_seq)
        finally:
            await subscription.unsubscribe()
        return found


def _readable(data: bytes) -> TradeMessage | None:
    """None for what is no trade message: it was reported when it was heard."""
    try:
        return trade_message(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
