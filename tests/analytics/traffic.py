"""A market's life with random commands, spread over days."""

from __future__ import annotations

import random
from uuid import uuid4

from engine import commands as c
from engine.state import OrderType, Outcome, Side, Verdict
from runtime.postgres import Connection
from tests.db_service.shard import ADMIN, ALICE, BOB, POINT, Shard

CAROL = "00000000-0000-4000-8000-00000000000c"
TRADERS = (ALICE, BOB, CAROL)
STEPS_MICROS = (1, 1_000_000, 40_000_000, 400_000_000, 5_000_000_000)
HOUR_MICROS = 3_600_000_000


async def opened(connection: Connection, days_ago: int = 3) -> Shard:
    """A shard with points for the traders, some days before now."""
    shard = Shard(connection)
    shard.later(-days_ago * 24 * HOUR_MICROS)
    await shard.grant(c.TREASURY_ID, 1_000_000)
    for user_id in TRADERS:
        await shard.grant(user_id, 100_000)
    return shard


async def traded(shard: Shard, source: random.Random, commands: int, market_id: str = "") -> str:
    """A market with so many more commands that are accepted; a new one unless named."""
    market_id = market_id or await shard.market(f"Question {source.randrange(10**6)}?")
    done = 0
    while done < commands:
        shard.later(source.choice(STEPS_MICROS))
        command = _random_command(shard, market_id, source)
        if await shard.tried(command) is not None:
            done += 1
    return market_id


async def resolved(shard: Shard, market_id: str, outcome: Verdict) -> None:
    """Decided, released and paid."""
    await shard.do(c.ResolveMarket(market_id=market_id, actor_id=ADMIN, outcome=outcome))
    while not shard.state.markets[market_id].market.settled:
        orders = shard.state.markets[market_id].orders
        step = c.ReleaseOrders if orders else c.PayHolders
        await shard.do(step(market_id=market_id, actor_id=c.SYSTEM_ID, limit=3))


def _random_command(shard: Shard, market_id: str, source: random.Random) -> c.AnyCommand:
    user_id = source.choice(TRADERS)
    kind = source.random()
    orders = shard.state.markets[market_id].orders
    if kind < 0.15 and orders:
        order = source.choice(sorted(orders.values(), key=lambda one: one.order_id))
        return c.CancelOrder(market_id=market_id, actor_id=order.user_id, order_id=order.order_id)
    if kind < 0.2:
        return c.MintSets(
            market_id=market_id, actor_id=user_id, quantity_micros=source.randrange(1, 20) * POINT
        )
    is_market = source.random() < 0.3
    return c.PlaceOrder(
        market_id=market_id,
        actor_id=user_id,
        order_id=str(uuid4()),
        side=source.choice((Side.BUY, Side.BUY, Side.SELL)),
        outcome=source.choice(tuple(Outcome)),
        type=OrderType.MARKET if is_market else OrderType.LIMIT,
        price_micros=0 if is_market else source.randrange(20, 80) * 10_000,
        quantity_micros=source.randrange(1, 40) * POINT,
        max_slippage_bps=10_000,
    )
