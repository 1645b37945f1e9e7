"""Every route there is. What is not in this list is denied."""

from collections.abc import Callable

from api_gateway import accounts, administration, history, markets, system, trading
from api_gateway.routing import Access, Bucket, Route


def all_routes(is_ready: Callable[[], bool]) -> list[Route]:
    """Method, path, handler, who may call."""
    return [*_system(is_ready), *_accounts(), *_markets(), *_trading(), *_portfolio(), *_administration()]


def _system(is_ready: Callable[[], bool]) -> list[Route]:
    return [
        Route("GET", "/healthz", system.health, Access.OPEN, Bucket.NONE),
        Route("GET", "/readyz", system.readiness(is_ready), Access.OPEN, Bucket.NONE),
        Route("GET", "/version", system.version, Access.OPEN, Bucket.NONE),
        Route("GET", "/v1/time", system.now, Access.OPEN, Bucket.PUBLIC),
    ]


def _accounts() -> list[Route]:
    return [
        Route("POST", "/v1/auth/register", accounts.register, Access.OPEN, Bucket.PUBLIC),
        Route("POST", "/v1/auth/login", accounts.log_in, Access.OPEN, Bucket.PUBLIC),
        Route("POST", "/v1/auth/refresh", accounts.refresh, Access.OPEN, Bucket.PUBLIC),
        Route("POST", "/v1/auth/logout", accounts.log_out, Access.OPEN, Bucket.PUBLIC),
        Route("GET", "/v1/me", accounts.me, Access.USER, Bucket.PUBLIC),
        Route("PATCH", "/v1/me", accounts.update_me, Access.USER, Bucket.PUBLIC),
    ]


def _markets() -> list[Route]:
    return [
        Route("GET", "/v1/markets", markets.listed, Access.PUBLIC, Bucket.PUBLIC),
        Route("GET", "/v1/markets/{id}", markets.one, Access.PUBLIC, Bucket.PUBLIC),
        Route("GET", "/v1/markets/{id}/book", markets.book, Access.PUBLIC, Bucket.PUBLIC),
        Route("GET", "/v1/markets/{id}/trades", markets.trades, Access.PUBLIC, Bucket.PUBLIC),
    ]


def _trading() -> list[Route]:
    return [
        Route("POST", "/v1/quotes", trading.quote, Access.USER, Bucket.PUBLIC),
        Route("POST", "/v1/orders", trading.place, Access.USER, Bucket.TRADES),
        Route("POST", "/v1/orders/batch", trading.batch, Access.USER, Bucket.TRADES, cost=trading.batch_cost),
        Route("GET", "/v1/orders", history.orders, Access.USER, Bucket.PUBLIC),
        Route("DELETE", "/v1/orders", trading.cancel_all, Access.USER, Bucket.CANCELS),
        Route("GET", "/v1/orders/{id}", history.order, Access.USER, Bucket.PUBLIC),
        Route("PATCH", "/v1/orders/{id}", trading.amend, Access.USER, Bucket.TRADES),
        Route("DELETE", "/v1/orders/{id}", trading.cancel, Access.USER, Bucket.CANCELS),
        Route("POST", "/v1/markets/{id}/mint", trading.mint, Access.USER, Bucket.TRADES),
        Route("POST", "/v1/markets/{id}/merge", trading.merge, Access.USER, Bucket.TRADES),
    ]


def _portfolio() -> list[Route]:
    return [
        Route("GET", "/v1/portfolio", history.portfolio, Access.USER, Bucket.PUBLIC),
        Route("GET", "/v1/positions", history.positions, Access.USER, Bucket.PUBLIC),
        Route("GET", "/v1/fills", history.fills, Access.USER, Bucket.PUBLIC),
        Route("GET", "/v1/ledger", history.ledger, Access.USER, Bucket.PUBLIC),
    ]


def _administration() -> list[Route]:
    return [
        Route("POST", "/v1/admin/markets", administration.create, Access.ADMIN, Bucket.ADMIN),
        Route("PATCH", "/v1/admin/markets/{id}", administration.edit, Access.ADMIN, Bucket.ADMIN),
        Route("DELETE", "/v1/admin/markets/{id}", administration.delete, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/markets/{id}/activate", administration.activate, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/markets/{id}/pause", administration.pause, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/markets/{id}/resume", administration.resume, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/markets/{id}/resolve", administration.resolve, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/markets/{id}/cancel", administration.cancel, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/users/{id}/grants", administration.grant, Access.ADMIN, Bucket.ADMIN),
        Route("POST", "/v1/admin/treasury/sweep", administration.sweep, Access.ADMIN, Bucket.ADMIN),
        Route("GET", "/v1/admin/audit", history.audit, Access.ADMIN, Bucket.ADMIN),
    ]
