"""Routes of /v1/markets that read."""

from typing import Any

from api_gateway import markets, models
from api_gateway.answers import markets as answers
from api_gateway.answers.base import Page
from api_gateway.routing import Access, Route
from runtime.errors import ErrorCode

AREA = "markets"


def routes() -> list[Route]:
    """What everybody may read."""
    return [
        _route(
            "/v1/markets",
            handler=markets.listed,
            summary="Markets, newest first or as `sort` says",
            description="`q`: every word of it in question, description or category. `movers`: live markets whose "
            "probability moved most in 24 hours. Figures may be 5 seconds old; a change of status or terms shows at "
            "once. A DRAFT is seen by administrators only, and so is what the house holds.",
            query=models.MarketsPage,
            answers={200: Page[answers.Market]},
        ),
        _of_one(
            "",
            handler=markets.one,
            summary="One market",
            answers={200: answers.Market},
        ),
        _of_one(
            "/book",
            handler=markets.book,
            summary="The live book in YES prices, or with `at` that of a past moment",
            description="Levels are [price_micros, quantity_micros], best first; the pool stands beside them. "
            "`merged`: [price_micros, quantity_micros, of the book, of the pool], where the pool's part is what it "
            "trades while its price moves there from the level before; not of a past moment.",
            query=models.BookQuery,
            answers={200: answers.Book},
        ),
        _of_one(
            "/ticker",
            handler=markets.ticker,
            summary="One market in figures",
            answers={200: answers.Ticker},
        ),
        _route(
            "/v1/tickers",
            handler=markets.tickers,
            summary="Markets in figures",
            description="Of `market_ids` (divided by commas, at most 100) those that are there; without them of all "
            "live markets, by market id.",
            query=models.TickersQuery,
            answers={200: Page[answers.Ticker]},
        ),
        _of_one(
            "/holders",
            handler=markets.holders,
            summary="Who holds the shares, the largest first",
            query=models.Page,
            answers={200: Page[answers.Holder]},
        ),
        _of_one(
            "/trades",
            handler=markets.trades,
            summary="Trades, newest first",
            query=models.Page,
            answers={200: Page[answers.Trade]},
        ),
        _of_one(
            "/solvency",
            handler=markets.solvency,
            summary="Who holds the shares, and what backs them",
            answers={200: answers.Solvency},
        ),
    ]


def _route(path: str, **rest: Any) -> Route:
    return Route(method="GET", path=path, access=Access.PUBLIC, area=AREA, **rest)


def _of_one(part: str, **rest: Any) -> Route:
    return _route(f"/v1/markets/{{id}}{part}", errors=(ErrorCode.MARKET_NOT_FOUND,), **rest)
