"""Quotes both sides of a market, two ticks below what each is worth: python market_maker.py URL API_KEY MARKET_ID"""

import asyncio
import sys

from predmarket_client import Client, Outcome, limit, micros

OUTCOMES: tuple[Outcome, ...] = ("YES", "NO")


async def make_market(url: str, api_key: str, market_id: str) -> None:
    async with Client(url, token=api_key) as client:
        while True:
            now = await client.markets.get(market_id)
            prices = {outcome: now.price_micros(outcome) - 2 * now.tick_micros for outcome in OUTCOMES}
            await client.orders.cancel_all(market_id)
            await client.orders.place_all(
                [
                    limit("BUY", outcome, market_id, price_micros=price, quantity_micros=micros(10))
                    for outcome, price in prices.items()
                ]
            )
            await asyncio.sleep(5)


if __name__ == "__main__":
    asyncio.run(make_market(*sys.argv[1:]))
