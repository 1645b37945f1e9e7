"""Prints a market's best prices of YES whenever its book changes: python watch_book.py URL MARKET_ID"""

import asyncio
import sys

from predmarket_client import Client, points


async def watch(url: str, market_id: str) -> None:
    async with Client(url) as client, client.stream() as stream:
        book = await stream.book(market_id)
        while True:
            await book.changed()
            bid, ask = book.best_bid_micros, book.best_ask_micros
            shown = ["-" if price is None else points(price) for price in (bid, ask)]
            print(f"event {book.seq}: bid {shown[0]}, ask {shown[1]}", flush=True)


if __name__ == "__main__":
    asyncio.run(watch(*sys.argv[1:]))
