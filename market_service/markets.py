"""The replicas of all live markets: loaded at start, following the bus, mended from PostgreSQL.

The bus' messages chain by `prev_seq`. A gap, a market that is new, and whatever the sweep finds behind are brought up
to date from the committed events, or read whole where many are missing or the market's terms changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from engine.published_book import BookMessage
from market_service.live import LiveMarket, Watch
from market_service.metrics import CATCH_UPS, LIVE_MARKETS
from market_service.sharing import Rounds, SingleFlight
from market_service.store import EVENTS_AT_ONCE, LIVE, Head, Store
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from runtime.surprises import as_api_error

log = get_logger(__name__)

CATCH_UP_EVENTS_MAX: Final = 1_000
"""Further behind than this a market is read whole."""
RETRY_SECONDS: Final = 0.5
OVERLAP_MICROS: Final = 10_000_000
"""A sweep looks so far back before the one before: a batch is stamped before it is committed."""
TRIES: Final = 4
"""Reads of a market that is behind, each of which may have begun before the call that waits for it."""
MENDING_MAX: Final = 16
"""Markets brought up to date at once; the others wait."""


class Markets:
    """Used on the loop's thread only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live: dict[str, LiveMarket] = {}
        self._asked: set[str] = set()
        self._heads: Rounds[dict[str, Head]] = Rounds(self._read_heads)
        self._flights = SingleFlight()
        self._mending = asyncio.Semaphore(MENDING_MAX)
        self._wanted: dict[str, bool] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._swept_until = 0
        self._behind: dict[str, int] = {}

    async def load_all(self) -> None:
        """Every live market."""
        now, _ = await self._store.changed_since(2**62)
        for snapshot in await self._store.snapshots(None):
            self._keep(LiveMarket(snapshot))
        self._swept_until = now

    async def stop(self) -> None:
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def all(self) -> Sequence[LiveMarket]:
        """By market id."""
        return [self._live[market_id] for market_id in sorted(self._live) if self._live[market_id].is_live]

    def known(self, market_id: str) -> LiveMarket | None:
        """As far as it has come, without asking anybody."""
        return self._live.get(market_id)

    async def head(self, market_id: str, *, hidden_too: bool) -> Head:
        """How far it is in PostgreSQL; all who ask at a time share one query. Raises MARKET_NOT_FOUND."""
        self._asked.add(market_id)
        head = (await self._heads.join()).get(market_id)
        if head is None or (head.is_hidden and not hidden_too):
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return head

    async def fresh(self, market_id: str, *, hidden_too: bool = False) -> LiveMarket:
        """With every event that was committed before the call. Raises MARKET_NOT_FOUND."""
        head = await self.head(market_id, hidden_too=hidden_too)
        for _ in range(TRIES):
            market = self._live.get(market_id)
            if market is None:
                market = await self._load(market_id)
            elif market.seq < head.seq:
                await self._mend(market)
            if market.seq >= head.seq:  # else it was read for somebody who asked earlier
                return market
        raise ApiError(ErrorCode.UNAVAILABLE)

    async def watch(self, market_id: str, watch: Watch) -> LiveMarket:
        """A visible market, kept as long as it is watched; `unwatch` ends that. Raises MARKET_NOT_FOUND."""
        market = await self.fresh(market_id)
        market = self._live.setdefault(market_id, market)
        market.watches.add(watch)
        return market

    def unwatch(self, market: LiveMarket, watch: Watch) -> None:
        market.watches.discard(watch)
        self._keep_or_drop(market)

    def on_book(self, market_id: str, message: BookMessage) -> None:
        """A message of the bus."""
        market = self._live.get(market_id)
        if market is None:
            if message.figures.status in LIVE:
                self._soon(market_id)
        elif market.is_loading:
            market.held.append(message)
        elif market.is_gap(message):
            self._soon(market_id)
        else:
            restated = message.seq > market.seq and message.figures.status != market.market.status
            market.apply(message)
            if restated:
                self.on_terms(market_id)

    def on_terms(self, market_id: str) -> None:
        """Its status or its terms have changed: levels alone do not tell that."""
        self._soon(market_id, whole=True)

    async def sweep(self) -> None:
        """Compare with PostgreSQL. A market that is still where it was a sweep ago, and behind, is mended."""
        now, heads = await self._store.changed_since(max(0, self._swept_until - OVERLAP_MICROS))
        seen = {head.market_id for head in heads}
        heads += (await self._store.heads([each for each in self._behind if each not in seen])).values()
        behind: dict[str, int] = {}
        for head in heads:
            market = self._live.get(head.market_id)
            if market is None and head.is_live:
                await self._load(head.market_id)
            elif market is not None and market.seq < head.seq:
                behind[head.market_id] = market.seq
                if self._behind.get(head.market_id) == market.seq:
                    await self._mend(market)
            elif market is not None and market.seq == head.seq and head.terms not in ("", market.terms):
                await self._read_whole(market)  # the bus told of its levels, and lost the news of its terms
        self._behind, self._swept_until = behind, now
        for market in list(self._live.values()):
            self._keep_or_drop(market)

    async def _read_heads(self) -> dict[str, Head]:
        asked, self._asked = self._asked, set()
        return await self._store.heads(list(asked))

    async def _load(self, market_id: str) -> LiveMarket:
        """One that is not kept; a live one is from now on."""

        async def load() -> LiveMarket:
            snapshots = await self._store.snapshots([market_id])
            if not snapshots:
                raise ApiError(ErrorCode.MARKET_NOT_FOUND)
            CATCH_UPS.labels("loaded").inc()
            known = self._live.get(market_id)
            if known is not None:
                return known
            market = LiveMarket(snapshots[0])
            if market.is_live:
                self._keep(market)
            return market

        return await self._flights.do(("load", market_id), load)

    async def _mend(self, market: LiveMarket) -> None:
        await self._flights.do(("mend", market.market_id), lambda: self._catch_up(market))

    async def _catch_up(self, market: LiveMarket) -> None:
        async with self._mending:
            folded = 0
            while True:
                _, events = await self._store.events_after(market.market_id, market.seq)
                for event in events:
                    if event.seq == market.seq + 1:  # the bus may have told of it meanwhile
                        market.fold(event)
                        folded += 1
                if len(events) < EVENTS_AT_ONCE:
                    CATCH_UPS.labels("events").inc()
                    return
                if folded >= CATCH_UP_EVENTS_MAX:
                    break
        await self._read_whole(market)

    async def _read_whole(self, market: LiveMarket) -> None:
        """Terms, figures and levels. What the bus tells meanwhile is applied to what was read."""
        market.is_loading = True
        try:
            async with self._mending:
                snapshots = await self._store.snapshots([market.market_id])
                while snapshots[0].market.seq < market.seq:  # a caller's read has overtaken this one
                    snapshots = await self._store.snapshots([market.market_id])
            CATCH_UPS.labels("whole").inc()
            market.take(snapshots[0])
        finally:
            market.is_loading = False
            held = tuple(market.held)
            market.held.clear()
        for message in held:
            self.on_book(market.market_id, message)

    def _soon(self, market_id: str, *, whole: bool = False) -> None:
        """In the background, one at a time per market; what is asked for meanwhile is done once more."""
        self._wanted[market_id] = self._wanted.get(market_id, False) or whole
        if market_id not in self._tasks:
            task = asyncio.create_task(self._bring_up(market_id), name=f"bring up {market_id}")
            self._tasks[market_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(market_id))

    async def _bring_up(self, market_id: str) -> None:
        while market_id in self._wanted:
            whole = self._wanted.pop(market_id)
            try:
                market = self._live.get(market_id)
                if market is None:
                    await self._load(market_id)
                elif whole:
                    await self._read_whole(market)
                else:
                    await self._mend(market)
            except Exception as error:  # nobody awaits this: the sweep tries again
                log.info(
                    "a market could not be read", market_id=market_id, code=str(as_api_error(error).code)
                )
                await asyncio.sleep(RETRY_SECONDS)

    def _keep(self, market: LiveMarket) -> None:
        self._live[market.market_id] = market
        LIVE_MARKETS.set(len(self._live))

    def _keep_or_drop(self, market: LiveMarket) -> None:
        if not market.is_live and not market.watches:
            self._live.pop(market.market_id, None)
            LIVE_MARKETS.set(len(self._live))
