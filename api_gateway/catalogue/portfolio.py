"""Routes of what the caller owns, and how it came."""

from typing import Any

from api_gateway import history, models
from api_gateway.answers import portfolio as answers
from api_gateway.answers.base import Page
from api_gateway.answers.trading import Fill
from api_gateway.routing import Access, Route, Scope

AREA = "portfolio"


def routes() -> list[Route]:
    """All of them read."""
    return [
        _route(
            "/v1/portfolio",
            handler=history.portfolio,
            summary="Balances and holdings of one moment",
            answers={200: answers.Portfolio},
        ),
        _route(
            "/v1/positions",
            handler=history.positions,
            summary="Positions, also past ones without shares",
            query=models.HistoryPage,
            answers={200: Page[answers.Position]},
        ),
        _route(
            "/v1/fills",
            handler=history.fills,
            summary="Fills, newest first",
            query=models.FillsPage,
            answers={200: Page[Fill]},
        ),
        _route(
            "/v1/ledger",
            handler=history.ledger,
            summary="Every change of points or shares, newest first",
            query=models.LedgerPage,
            answers={200: Page[answers.LedgerRow]},
        ),
        _route(
            "/v1/settlements",
            handler=history.settlements,
            summary="What decided markets paid, newest first",
            query=models.HistoryPage,
            answers={200: Page[answers.Settlement]},
        ),
    ]


def _route(path: str, **rest: Any) -> Route:
    return Route(method="GET", path=path, access=Access.USER, scope=Scope.READ, area=AREA, **rest)
