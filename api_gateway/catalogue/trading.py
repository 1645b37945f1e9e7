"""Routes of orders, quotes and sets."""

from typing import Any

from api_gateway import history, models, trading
from api_gateway.answers import trading as answers
from api_gateway.answers.base import Page
from api_gateway.routing import Access, Bucket, Repeats, Route, Scope
from runtime.errors import ErrorCode

AREA = "trading"
KEY = (ErrorCode.IDEMPOTENCY_KEY_REUSED, ErrorCode.IDEMPOTENCY_IN_FLIGHT, ErrorCode.CONCURRENT_CHANGE)
MARKET = (
    ErrorCode.MARKET_NOT_FOUND,
    ErrorCode.MARKET_NOT_ACTIVE,
    ErrorCode.MARKET_CLOSED,
    ErrorCode.MARKET_THROTTLED,
    ErrorCode.AMOUNT_TOO_SMALL,
)
MATCHING = (
    *MARKET,
    ErrorCode.PRICE_NOT_ON_TICK,
    ErrorCode.QUANTITY_NOT_ON_LOT,
    ErrorCode.TOO_MANY_OPEN_ORDERS,
    ErrorCode.INSUFFICIENT_FUNDS,
    ErrorCode.INSUFFICIENT_SHARES,
    ErrorCode.SLIPPAGE_EXCEEDED,
    ErrorCode.POST_ONLY_WOULD_TAKE,
    ErrorCode.FOK_NOT_FILLABLE,
    ErrorCode.NOTHING_FILLED,
    ErrorCode.SELF_TRADE,
)
LIMIT_ORDER = {
    "market_id": "<market_id>",
    "side": "BUY",
    "outcome": "YES",
    "type": "LIMIT",
    "time_in_force": "GTC",
    "price_micros": 400_000,
    "quantity_micros": 10_000_000,
}


def routes() -> list[Route]:
    """Everything that places, changes or cancels, and the caller's orders."""
    return [*_placing(), *_orders(), *_sets()]


def _placing() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/v1/quotes",
            handler=trading.quote,
            access=Access.PUBLIC,
            area=AREA,
            summary="What an order would do now",
            description="Exactly what it does when it is placed before the market's next event (`valid_seq`): the "
            "engine runs it and undoes it. The caller's position is netted; who has not logged in is taken to hold "
            "what is sold. Neither the balance nor `max_slippage_bps` refuses a quote: `is_affordable` and "
            "`is_within_slippage` say what they would.",
            body=models.QuoteOrder,
            answers={200: answers.FullQuote},
            errors=MATCHING,
            example={**LIMIT_ORDER, "price_micros": 620_000},
        ),
        _write(
            "POST",
            "/v1/orders",
            handler=trading.place,
            summary="Places an order",
            description="201 with the order as it stands after matching: durable. 200 for a `dry_run`, with its "
            "figures. A `client_order_id` is a key for good: the order it names is placed once.",
            body=models.PlaceOrder,
            answers={201: answers.Order, 200: answers.TriedOrder},
            errors=(*MATCHING, *KEY),
            example={**LIMIT_ORDER, "client_order_id": "a-1"},
        ),
        _write(
            "POST",
            "/v1/orders/batch",
            handler=trading.batch,
            cost=trading.batch_cost,
            summary="Places up to 50 orders",
            description="Each is answered on its own, at its place; one that is refused spoils no other. The key of "
            "item i is the request's with `:i`, unless the item has a `client_order_id`, so each item is a replay or "
            "another body by itself; the answer is when all are.",
            body=models.Batch,
            answers={200: answers.BatchResults},
            errors=KEY,
            example={"orders": [LIMIT_ORDER, {**LIMIT_ORDER, "outcome": "NO", "price_micros": 450_000}]},
        ),
    ]


def _orders() -> list[Route]:
    one, missing = "/v1/orders/{id}", ErrorCode.ORDER_NOT_FOUND
    return [
        _read(
            "/v1/orders",
            handler=history.orders,
            summary="The caller's orders, newest first, without fills",
            query=models.OrdersPage,
            answers={200: Page[answers.OrderRow]},
        ),
        _read(
            one,
            handler=history.order,
            summary="One order with all its fills",
            answers={200: answers.Order},
            errors=(missing,),
        ),
        _write(
            "PATCH",
            one,
            handler=trading.amend,
            summary="Another total quantity or price",
            description="A smaller quantity keeps the order's place in the queue.",
            body=models.AmendOrder,
            answers={200: answers.Order},
            errors=(missing, *MATCHING, *KEY),
            example={"quantity_micros": 5_000_000},
        ),
        _write(
            "DELETE",
            one,
            handler=trading.cancel,
            bucket=Bucket.CANCELS,
            summary="Cancels an order",
            answers={200: answers.Order},
            errors=(missing, *KEY),
        ),
        _write(
            "DELETE",
            "/v1/orders",
            handler=trading.cancel_all,
            bucket=Bucket.CANCELS,
            summary="Cancels every open order of the caller in one market",
            query=models.MarketQuery,
            answers={200: answers.Orders},
            errors=(ErrorCode.MARKET_NOT_FOUND, *KEY),
        ),
    ]


def _sets() -> list[Route]:
    return [
        _write(
            "POST",
            "/v1/markets/{id}/mint",
            handler=trading.mint,
            summary="Points into as many YES and NO",
            body=models.Sets,
            answers={200: answers.SetsDone},
            errors=(*MARKET, ErrorCode.INSUFFICIENT_FUNDS, *KEY),
            example={"quantity_micros": 2_000_000},
        ),
        _write(
            "POST",
            "/v1/markets/{id}/merge",
            handler=trading.merge,
            summary="YES and NO back into points",
            body=models.Sets,
            answers={200: answers.SetsDone},
            errors=(*MARKET, ErrorCode.INSUFFICIENT_SHARES, *KEY),
            example={"quantity_micros": 1_000_000},
        ),
    ]


def _write(
    method: str,
    path: str,
    *,
    bucket: Bucket = Bucket.TRADES,
    repeats: Repeats = Repeats.ONCE,
    **rest: Any,
) -> Route:
    return Route(
        method=method,
        path=path,
        access=Access.USER,
        scope=Scope.TRADE,
        area=AREA,
        bucket=bucket,
        repeats=repeats,
        **rest,
    )


def _read(path: str, **rest: Any) -> Route:
    return Route(method="GET", path=path, access=Access.USER, scope=Scope.READ, area=AREA, **rest)
