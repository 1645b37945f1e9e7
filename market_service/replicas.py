"""Whole markets in memory, for quotes: every open order with its owner, and every position.

A quote is decided by the engine itself, and fills change other orders by netting, so levels are not enough. A replica
is loaded when its market is first quoted, and brought up to date by folding the market's committed events: before each
quote one look-up asks PostgreSQL for those it has not seen. It depends on no bus, so it cannot miss any.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final

from engine.core import is_system_stream
from engine.replay import BrokenLog, fold
from engine.state import MarketState, ShardState
from market_service.metrics import CATCH_UPS, QUOTE_ROWS
from market_service.sharing import Rounds
from market_service.store import EVENTS_AT_ONCE, Store
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger

log = get_logger(__name__)

CATCH_UP_EVENTS_MAX: Final = 5_000
"""Further behind than this a replica is loaded anew."""


class Replica:
    """One market. `state` is whole at every await of others: it changes only between them."""

    def __init__(self, market_id: str, store: Store) -> None:
        self.market_id = market_id
        self.state = ShardState()
        self.curves: dict[Any, Any] = {}
        """Impact curves that hold for the present event."""
        self._store = store
        self._rounds = Rounds(self._advance)

    @property
    def rows(self) -> int:
        """Orders and positions held, and one for the market."""
        market = self._market
        return 1 + len(market.orders) + len(market.positions) if market else 0

    async def fresh(self) -> int:
        """With every event committed before the call; PostgreSQL's time. Raises MARKET_NOT_FOUND."""
        return await self._rounds.join()

    @property
    def _market(self) -> MarketState | None:
        return self.state.markets.get(self.market_id)

    async def _advance(self) -> int:
        try:
            return await self._follow()
        except BrokenLog as error:
            log.error("a replica does not follow its events", market_id=self.market_id, exc_info=error)
            await self._load()
            return await self._follow()

    async def _follow(self) -> int:
        """Fold what was committed since. Raises BrokenLog."""
        behind = 0
        while True:
            if self._market is None or behind >= CATCH_UP_EVENTS_MAX:
                await self._load()
                behind = 0
            assert self._market is not None
            now, events = await self._store.events_after(self.market_id, self._market.market.seq)
            try:
                for event in events:
                    fold(self.state, event)
            finally:
                self.state.accounts.clear()
            if events:
                self.curves.clear()
            if len(events) < EVENTS_AT_ONCE:
                return now
            behind += len(events)
            await asyncio.sleep(0)

    async def _load(self) -> None:
        CATCH_UPS.labels("quotes loaded").inc()
        loaded = await self._store.market_state(self.market_id)
        if loaded is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        self.state = ShardState()
        self.state.markets[self.market_id] = loaded
        self.curves.clear()


class Replicas:
    """The markets quoted of late, at most `rows_max` rows of them together."""

    def __init__(self, store: Store, rows_max: int) -> None:
        self._store = store
        self._rows_max = rows_max
        self._replicas: OrderedDict[str, Replica] = OrderedDict()

    async def fresh(self, market_id: str) -> tuple[Replica, int]:
        """As of now, with PostgreSQL's time. Raises MARKET_NOT_FOUND."""
        if is_system_stream(market_id):
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        replica = self._replicas.get(market_id)
        if replica is None:
            replica = self._replicas[market_id] = Replica(market_id, self._store)
        try:
            now = await replica.fresh()
        finally:
            if not replica.rows:  # nothing was loaded
                self._replicas.pop(market_id, None)
        self._used(replica)
        return replica, now

    @property
    def rows(self) -> int:
        return sum(replica.rows for replica in self._replicas.values())

    def _used(self, replica: Replica) -> None:
        """Those quoted longest ago go, until the rest fits."""
        if replica.market_id in self._replicas:
            self._replicas.move_to_end(replica.market_id)
        rows = self.rows
        while rows > self._rows_max and len(self._replicas) > 1:
            _, gone = self._replicas.popitem(last=False)
            rows -= gone.rows
        QUOTE_ROWS.set(rows)
