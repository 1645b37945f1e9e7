"""Random traffic on several markets and shards at once; afterwards the log, the rows and the live state agree."""

from __future__ import annotations

import asyncio
import random

from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError
from tests.order_service.support import POINT, Client, limit, new_user


async def test_random_schedules_leave_everything_consistent(client: Client) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    admin, users = new_user(), [new_user() for _ in range(6)]
    markets = [await client.open_market(admin) for _ in range(5)]
    for user in users:
        await client.grant(user, 60)
    await asyncio.gather(
        *(trader(client, random.Random(chance.random()), user, markets) for user in users * 2)
    )
    for market in markets[:2]:
        decide = order_pb2.ResolveMarketRequest(market_id=market, outcome=order_pb2.VERDICT_NO)
        await client.admin("ResolveMarket", decide, admin)
    cancel = order_pb2.CancelMarketRequest(market_id=markets[2], pro_rata=True, reason="void")
    await client.admin("CancelMarket", cancel, admin)
    async with asyncio.timeout(15):
        for market in markets[:3]:
            request = order_pb2.GetMarketRequest(market_id=market)
            while not (await client.ask("GetMarket", request, admin)).market.settled:
                await asyncio.sleep(0.05)


async def trader(client: Client, chance: random.Random, user: str, markets: list[str]) -> None:
    """Twenty random steps; refusals are as good as anything."""
    mine: list[str] = []
    for _ in range(20):
        market = chance.choice(markets)
        try:
            if mine and chance.random() < 0.25:
                order_id = chance.choice(mine)
                await client.ask("CancelOrder", order_pb2.CancelOrderRequest(order_id=order_id), user)
            elif chance.random() < 0.15:
                quantity = chance.randint(1, 5) * POINT
                await client.ask(
                    "MintSets", order_pb2.MintSetsRequest(market_id=market, quantity_micros=quantity), user
                )
            else:
                side = chance.choice([common_pb2.SIDE_BUY, common_pb2.SIDE_BUY, common_pb2.SIDE_SELL])
                outcome = chance.choice([common_pb2.OUTCOME_YES, common_pb2.OUTCOME_NO])
                request = limit(
                    market,
                    chance.randint(20, 80),
                    chance.randint(1, 20),
                    side=side,
                    outcome=outcome,
                    idempotency_key=f"{chance.randrange(40)}",
                )
                mine.append((await client.ask("PlaceOrder", request, user)).order.order_id)
        except ApiError as error:
            if error.code.http_status >= 500:
                raise
