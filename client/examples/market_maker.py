"""Quotes both sides of one market around its probability: python market_maker.py URL EMAIL PASSWORD MARKET_ID"""

import asyncio
import sys

from predmarket_client import Client, limit, micros, opposite_price


async def make_market(url: str, email: str, password: str, market_id: str) -> None:
    async with Client(url, email=email, password=password) as client:
        while True:
            market = await client.markets.get(market_id)
            fair = market.probability_micros // market.tick_micros * market.tick_micros
            await client.orders.cancel_all(market_id)
            prices = {
                "YES": fair - 2 * market.tick_micros,
                "NO": opposite_price(fair) - 2 * market.tick_micros,
            }
            await client.orders.place_all(
                [
                    limit("BUY", "YES", market_id, price_micros=prices["YES"], quantity_micros=micros(10)),
                    limit("BUY", "NO", market_id, price_micros=prices["NO"], quantity_micros=micros(10)),
                ]
            )
            await asyncio.sleep(5)


if __name__ == "__main__":
    asyncio.run(make_market(*sys.argv[1:5]))
