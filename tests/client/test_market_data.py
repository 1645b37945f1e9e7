"""Quotes, search, tickers, holders and merged books, each call on the running services."""

from predmarket_client import Client, limit, market, micros
from tests.api_gateway.support import Suite
from tests.client.support import Clients, open_market


async def test_a_quote_says_what_the_order_will_do(suite: Suite, admin: Client, clients: Clients) -> None:
    market_id, ann = await open_market(admin), await clients("ann")
    order = market("BUY", "YES", market_id, amount_micros=micros(300), max_slippage_bps=10_000)
    quoted = await ann.orders.quote(order)
    assert [quoted.impact[0].zone, quoted.impact[-1].zone] == ["SAFE", "DANGER"]
    assert quoted.largest is not None
    assert quoted.largest.total_micros == quoted.available_micros == micros(10_000)
    assert (quoted.is_affordable, quoted.is_within_slippage, quoted.zone) == (True, True, "DANGER")
    async with Client(suite.url) as nobody:
        theirs = await nobody.orders.quote(order, balance_micros=micros(5), impact=False)
    assert (theirs.legs, theirs.available_micros, theirs.impact) == (quoted.legs, None, ())
    assert theirs.largest is not None
    assert theirs.largest.total_micros == micros(5)
    placed = await ann.orders.place(order)
    assert (placed.filled_micros, placed.cost_micros, placed.fee_micros) == (
        quoted.quantity_micros,
        quoted.cost_micros,
        quoted.fee_micros,
    )


async def test_market_data_comes_in_shapes(suite: Suite, admin: Client, clients: Clients) -> None:
    markets = sorted([await open_market(admin, category="weather"), await open_market(admin)])
    ann = await clients("ann")
    resting = limit("BUY", "YES", markets[0], price_micros=micros("0.45"), quantity_micros=micros(5))
    await ann.orders.place(resting)
    async with Client(suite.url) as nobody:
        book = await nobody.markets.merged_book(markets[0], depth=5)
        assert [level.book_micros for level in book.bids] == [0, 0, 0, 0, micros(5)]
        assert all(level.pool_micros for level in (*book.bids, *book.asks))
        ticker = await nobody.markets.ticker(markets[0])
        assert (ticker.best_bid_micros, ticker.best_ask_micros) == (490_000, 510_000)
        assert await nobody.markets.tickers_of([markets[1], markets[0]]) == (
            await nobody.markets.ticker(markets[1]),
            ticker,
        )
        assert [each.market_id for each in await nobody.markets.tickers(page_rows=1).all()] == markets
        assert len(await nobody.markets.list(q="WEATHER", sort="movers").all()) == 1
        await ann.orders.mint(markets[0], micros(2))
        (holder,) = await nobody.markets.holders(markets[0]).all()
        assert (holder.display_name, holder.yes_micros, holder.no_micros) == ("ann", micros(2), micros(2))
