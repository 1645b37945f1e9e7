"""Prints a market's best prices of YES whenever its book changes: python watch_book.py URL MARKET_ID"""

import asyncio
import sys

from predmarket_client import Client, points


async def watch(url: str, market_id: str) -> None:
    async with Client(url) as client, client.stream() as stream:
        book = await stream.book(market_id)
        while True:
            await book.changed()
            best = (book.best_bid_micros, book.best_ask_micros)
            bid, ask = ("-" if price is None else points(price) for price in best)
            shown = f"bid {bid}, ask {ask}" if book.is_current else "the book is being asked for"
            print(f"event {book.seq}: {shown}", flush=True)


if __name__ == "__main__":
    asyncio.run(watch(*sys.argv[1:]))
