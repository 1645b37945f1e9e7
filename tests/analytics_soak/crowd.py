"""Traffic that trades much per event: ladders of resting orders, and orders that sweep them and the pool between."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine import commands as c
from engine.pool import probability
from engine.state import OrderType, Outcome, Side, TimeInForce
from engine.units import MICROS
from order_service.requests import Done
from tests.analytics_soak.writing import Writing

MARKETS_PER_SHARD = 12
USERS_PER_SHARD = 24
"""Of each shard its own: whose points are spent on another meanwhile has his batch run again."""
USER_POINTS = 1_000_000
LIQUIDITY_POINTS = 600
TICK = 10_000
LEVELS = (3, 12)
NARROW = 300_000
"""Where the price turns back, so that there is always room for a ladder."""


@dataclass(slots=True)
class Crowd:
    """Users and markets; the same seed asks for the same, though not at the same time."""

    writing: Writing
    source: random.Random
    users: dict[int, list[str]] = field(default_factory=dict)
    markets: dict[int, list[str]] = field(default_factory=dict)
    """Both by shard."""
    trades: int = 0
    events: int = 0
    refused: int = 0

    async def gather(self, markets_per_shard: int) -> None:
        """Users with points, and open markets on every shard."""
        for shard_id in sorted(self.writing.router.owned):
            self.users[shard_id] = [self._new_id() for _ in range(USERS_PER_SHARD)]
            for user_id in self.users[shard_id]:
                await self.writing.grant(user_id, USER_POINTS)
            self.markets[shard_id] = [
                await self.writing.open_market(shard_id, f"Soak {number}?", LIQUIDITY_POINTS)
                for number in range(markets_per_shard)
            ]

    async def trade_until(self, trades: int, done: Callable[[], None] = lambda: None) -> None:
        """All shards at once, a round in each of their markets after the other."""

        async def on_shard(shard_id: int) -> None:
            while self.trades < trades:
                await self.writing.until_owned(shard_id)
                commands = [
                    one for market_id in self.markets[shard_id] for one in self._round(shard_id, market_id)
                ]
                for answer in await self.writing.do(shard_id, commands):
                    if isinstance(answer, Done):
                        self.events += 1
                        self.trades += len(answer.event.effects.trades)
                    else:
                        self.refused += 1
                done()

        await asyncio.gather(*(on_shard(shard_id) for shard_id in self.markets))

    def _round(self, shard_id: int, market_id: str) -> Sequence[c.AnyCommand]:
        """A ladder on one side of the price, and somebody who sweeps it, or most of it."""
        market = self.writing.market(shard_id, market_id)
        price = probability(market.market.pool_yes, market.market.pool_no)
        is_up = self.source.random() < 0.5 if NARROW < price < 1_000_000 - NARROW else price <= NARROW
        taken, given = (Outcome.YES, Outcome.NO) if is_up else (Outcome.NO, Outcome.YES)
        price = price if is_up else 1_000_000 - price  # of what the taker takes
        taker, *makers = self.source.sample(self.users[shard_id], 1 + self.source.randint(*LEVELS))
        levels = [(price // TICK + 1 + index) * TICK for index in range(len(makers))]
        ladder = [
            self._order(market_id, maker, Side.BUY, given, 1_000_000 - level, self.source.randint(1, 20))
            for maker, level in zip(makers, levels, strict=True)
        ]
        reach = levels[-1] if self.source.random() < 0.8 else self.source.choice(levels)
        sweep = self._order(market_id, taker, Side.BUY, taken, reach, 20 * len(makers) + 400, TimeInForce.IOC)
        return [*self._others(shard_id, market_id), *ladder, sweep]

    def _others(self, shard_id: int, market_id: str) -> Sequence[c.AnyCommand]:
        """Now and then: a cancel, a mint, a merge, a sale."""
        kind, user_id = self.source.random(), self.source.choice(self.users[shard_id])
        if kind < 0.05:
            orders = self.writing.market(shard_id, market_id).orders
            if orders:
                order = orders[self.source.choice(sorted(orders))]
                return [c.CancelOrder(market_id=market_id, actor_id=order.user_id, order_id=order.order_id)]
        elif kind < 0.1:
            mint = c.MintSets(market_id=market_id, actor_id=user_id, quantity_micros=5 * MICROS)
            merge = c.MergeSets(market_id=market_id, actor_id=user_id, quantity_micros=MICROS)
            return [mint, merge]
        elif kind < 0.15:
            outcome = self.source.choice(tuple(Outcome))
            return [
                self._order(
                    market_id, user_id, Side.SELL, outcome, TICK, self.source.randint(1, 9), TimeInForce.IOC
                )
            ]
        return []

    def _order(
        self,
        market_id: str,
        user_id: str,
        side: Side,
        outcome: Outcome,
        price: int,
        shares: int,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> c.PlaceOrder:
        return c.PlaceOrder(
            market_id=market_id,
            actor_id=user_id,
            order_id=self._new_id(),
            side=side,
            outcome=outcome,
            type=OrderType.LIMIT,
            time_in_force=time_in_force,
            price_micros=price,
            quantity_micros=shares * MICROS,
        )

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self.source.getrandbits(128), version=4))
