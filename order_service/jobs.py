"""The engine's own work: expiry, closing, settlement steps, as commands between other markets' commands."""

from __future__ import annotations

import asyncio

from engine import commands as c
from engine.core import is_system_stream
from engine.lifecycle import CLOSED
from engine.state import MarketState, MarketStatus
from order_service.requests import Done, Request, hash_of_request
from order_service.settings import OrderSettings
from order_service.shard import Shard
from runtime.errors import ApiError
from runtime.logs import get_logger

log = get_logger(__name__)

MARKETS_PER_SLICE = 200
SKIPPED_MICROS = 60_000_000
"""For how long a market whose step broke is left alone."""
DECIDED = (MarketStatus.RESOLVED, MarketStatus.CANCELLED)


class Jobs:
    """Looks for work on one shard; one step per market and round, so that traders always get their turn."""

    def __init__(self, shard: Shard, settings: OrderSettings) -> None:
        self._shard = shard
        self._seconds = settings.jobs_seconds
        self._step = settings.settlement_step
        self._skipped_until: dict[str, int] = {}

    async def run(self) -> None:
        """For ever; a round that did something is followed by the next at once."""
        while True:
            worked = await self._round()
            await asyncio.sleep(0 if worked else self._seconds)

    async def _round(self) -> bool:
        now = self._shard.postgres_now()
        due: list[c.AnyCommand] = []
        for number, (market_id, state) in enumerate(list(self._shard.state.markets.items())):
            idle = is_system_stream(market_id) or self._skipped_until.get(market_id, 0) > now
            command = None if idle else self._next(state, now)
            if command is not None:
                due.append(command)
            if number % MARKETS_PER_SLICE == MARKETS_PER_SLICE - 1:
                await asyncio.sleep(0)
        done = [await self._do(command) for command in due]
        return any(done)

    def _next(self, state: MarketState, now: int) -> c.AnyCommand | None:
        """The next step of one market, or None. The engine decides by its own clock whether it is due."""
        market, orders = state.market, state.orders
        ids = {"market_id": market.market_id, "actor_id": c.SYSTEM_ID}
        if market.status in DECIDED and not market.settled and market.reason != "DELETED":
            if orders:
                return c.ReleaseOrders(**ids, limit=self._step)
            return c.PayHolders(**ids, limit=self._step)
        has_closed = market.status is MarketStatus.PAUSED and market.reason == CLOSED
        if has_closed and orders:
            return c.ReleaseOrders(**ids, limit=self._step)
        is_open = market.status in (MarketStatus.ACTIVE, MarketStatus.PAUSED) and not has_closed
        if is_open and market.closes_at and market.closes_at <= now:
            return c.PauseMarket(**ids, reason=CLOSED)
        if any(order.expires_at and order.expires_at <= now for order in orders.values()):
            return c.ExpireOrders(**ids, limit=self._step)
        return None

    async def _do(self, command: c.AnyCommand) -> bool:
        """Whether it was accepted."""
        request = Request(
            answer=asyncio.get_running_loop().create_future(),
            command=command,
            request_hash=hash_of_request(command),
        )
        try:
            answer = await self._shard.submit(request)
        except ApiError as error:
            log.warning("a job's step failed", market_id=command.market_id, code=str(error.code))
            await asyncio.sleep(self._seconds)
            return False
        except Exception as error:  # a defect in this market's step: the others get theirs
            log.error("a job's step broke", market_id=command.market_id, exc_info=error)
            self._skipped_until[command.market_id] = self._shard.postgres_now() + SKIPPED_MICROS
            return False
        return isinstance(answer, Done)
