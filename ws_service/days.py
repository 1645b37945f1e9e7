"""Where markets stood 24 hours ago, as market_service knows it: what a day's change and volume are counted from."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from predmarket.market.v1 import market_pb2, market_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call
from runtime.logs import get_logger

log = get_logger(__name__)

ASK_SECONDS = 1.0
REST_SECONDS = 5.0
"""After a failure nobody is made to wait for so long."""
AGAIN_SECONDS = 60.0
MARKETS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Yesterday:
    """A market 24 hours ago, or at its opening where that is later."""

    probability_micros: int
    volume_micros: int


class Days:
    """Of the markets that are followed. Without a channel, and while market_service is away, nothing new is known."""

    def __init__(self, channel: grpc.aio.Channel | None) -> None:
        self._stub = None if channel is None else market_pb2_grpc.MarketServiceStub(channel)
        self._known: dict[str, Yesterday] = {}
        self._resting_until = 0.0

    def of(self, market_id: str) -> Yesterday | None:
        """None: nobody has told."""
        return self._known.get(market_id)

    async def learn(self, market_id: str) -> None:
        """What is not known yet; up to a second."""
        if market_id not in self._known and time.monotonic() >= self._resting_until:
            await self.ask([market_id])

    async def ask(self, market_ids: Sequence[str]) -> None:
        """What is not told stays as it was."""
        if self._stub is None:
            return
        for start in range(0, len(market_ids), MARKETS_AT_ONCE):
            request = market_pb2.ListTickersRequest(market_ids=market_ids[start : start + MARKETS_AT_ONCE])
            try:
                answer = await call(self._stub.ListTickers, request, deadline_seconds=ASK_SECONDS)
            except ApiError as error:
                self._resting_until = time.monotonic() + REST_SECONDS
                log.info("yesterday is not known", markets=len(market_ids), code=str(error.code))
                return
            for told in answer.tickers:
                self._known[told.market_id] = Yesterday(
                    told.probability_micros - told.change_24h_micros,
                    told.volume_micros - told.volume_24h_micros,
                )

    async def follow(self, followed: Callable[[], Sequence[str]]) -> None:
        """For ever: a day ago is another moment each minute. What nobody follows is forgotten."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            market_ids = followed()
            for market_id in self._known.keys() - set(market_ids):
                del self._known[market_id]
            await self.ask(market_ids)
