"""Every route there is. What is not in this list is denied."""

from collections.abc import Callable, Sequence

from api_gateway import documents
from api_gateway.catalogue import (
    accounts,
    administration,
    analytics,
    credentials,
    markets,
    portfolio,
    system,
    trading,
)
from api_gateway.routing import Access, Route
from api_gateway.settings import RouteChoice


def all_routes(is_ready: Callable[[], bool]) -> list[Route]:
    """Those with documentation, and those that show it."""
    described = [
        *system.routes(is_ready),
        *accounts.routes(),
        *credentials.routes(),
        *markets.routes(),
        *analytics.routes(),
        *trading.routes(),
        *portfolio.routes(),
        *administration.routes(),
    ]
    return [*described, *documents.routes(described)]


def chosen_routes(routes: Sequence[Route], chosen: RouteChoice) -> list[Route]:
    """`public`: all but /v1/admin. `admin`: /v1/admin, and what an administrator needs to get in."""
    if chosen == "all":
        return list(routes)
    if chosen == "public":
        return [route for route in routes if route.access is not Access.ADMIN]
    return [
        route
        for route in routes
        if route.access is Access.ADMIN or route.area in ("system", "accounts", "documents")
    ]
