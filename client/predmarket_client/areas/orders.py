"""Trading: place, amend, cancel, quote, mint, merge. Every write is safe to repeat, and is repeated."""

from collections.abc import Sequence
from typing import Any

import msgspec

from predmarket_client.caller import Caller
from predmarket_client.errors import ApiError
from predmarket_client.paging import Page, Pages
from predmarket_client.shapes.trading import DryRun, NewOrder, Order, OrderStatus, Quote, Sets

PAGE_ROWS = 100
BATCH_MAX = 50


class _DryOrder(NewOrder, frozen=True, kw_only=True, omit_defaults=True):
    dry_run: bool = False


class _QuoteOrder(NewOrder, frozen=True, kw_only=True, omit_defaults=True):
    balance_micros: int | None = None
    impact: bool = True


class _BatchItem(msgspec.Struct, frozen=True):
    order: Order | None = None
    error: dict[str, Any] | None = None


class _Batch(msgspec.Struct, frozen=True):
    results: tuple[_BatchItem, ...]


class _Cancelled(msgspec.Struct, frozen=True):
    items: tuple[Order, ...]


class Orders:
    """`client.orders`. `idempotency_key` is for who repeats a write himself, over a restart of his program say."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def place(self, order: NewOrder, *, idempotency_key: str | None = None) -> Order:
        """The order after matching, durable. Raises ApiError, such as INSUFFICIENT_FUNDS."""
        return await self._caller.write(
            "POST", "/v1/orders", Order, body=order, idempotency_key=idempotency_key
        )

    async def place_all(
        self, orders: Sequence[NewOrder], *, idempotency_key: str | None = None
    ) -> list[Order | ApiError]:
        """Up to 50 orders in one call, in this order, each answered on its own: one bad order spoils no other."""
        if not 1 <= len(orders) <= BATCH_MAX:
            raise ValueError(f"a batch has 1 to {BATCH_MAX} orders, not {len(orders)}")
        batch = await self._caller.write(
            "POST",
            "/v1/orders/batch",
            _Batch,
            body={"orders": orders},
            idempotency_key=idempotency_key,
        )
        return [_placed(item) for item in batch.results]

    async def dry_run(self, order: NewOrder) -> DryRun:
        """The order as it would stand; nothing is done. Raises what placing it would raise."""
        dry = _DryOrder(**msgspec.structs.asdict(order), dry_run=True)
        return await self._caller.write("POST", "/v1/orders", DryRun, body=dry)

    async def quote(
        self, order: NewOrder, *, balance_micros: int | None = None, impact: bool = True
    ) -> Quote:
        """What the order would cost and give now: exactly that, when it is placed before the market's next event.

        `balance_micros`: what `largest` may spend, your balance without. `impact`: also the curve.
        """
        asked = _QuoteOrder(**msgspec.structs.asdict(order), balance_micros=balance_micros, impact=impact)
        return await self._caller.write("POST", "/v1/quotes", Quote, body=asked)

    async def amend(
        self,
        order_id: str,
        *,
        price_micros: int | None = None,
        quantity_micros: int | None = None,
        market_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """A new price, or a new *total* quantity. A smaller quantity alone keeps the order's place."""
        named = {"price_micros": price_micros, "quantity_micros": quantity_micros, "market_id": market_id}
        body = {name: value for name, value in named.items() if value is not None}
        return await self._caller.write(
            "PATCH", f"/v1/orders/{order_id}", Order, body=body, idempotency_key=idempotency_key
        )

    async def cancel(self, order_id: str, *, idempotency_key: str | None = None) -> Order:
        """The order as it ended. One that is filled or gone is ORDER_NOT_FOUND."""
        return await self._caller.write(
            "DELETE", f"/v1/orders/{order_id}", Order, idempotency_key=idempotency_key
        )

    async def cancel_all(self, market_id: str, *, idempotency_key: str | None = None) -> list[Order]:
        """Every open order of yours in one market."""
        answer = await self._caller.write(
            "DELETE",
            "/v1/orders",
            _Cancelled,
            query={"market_id": market_id},
            idempotency_key=idempotency_key,
        )
        return list(answer.items)

    async def get(self, order_id: str) -> Order:
        """With all its fills."""
        return await self._caller.get(f"/v1/orders/{order_id}", Order)

    def list(
        self,
        *,
        market_id: str | None = None,
        status: OrderStatus | None = None,
        open_only: bool = False,
        page_rows: int = PAGE_ROWS,
    ) -> Pages[Order]:
        """Newest first, without their fills."""

        async def fetch(cursor: str | None) -> Page[Order]:
            query = {
                "market_id": market_id,
                "status": status,
                "open_only": open_only,
                "limit": page_rows,
                "cursor": cursor,
            }
            return await self._caller.get("/v1/orders", Page[Order], query=query)

        return Pages(fetch)

    async def mint(self, market_id: str, quantity_micros: int, *, idempotency_key: str | None = None) -> Sets:
        """Points into as many YES and NO."""
        return await self._sets("mint", market_id, quantity_micros, idempotency_key)

    async def merge(
        self, market_id: str, quantity_micros: int, *, idempotency_key: str | None = None
    ) -> Sets:
        """As many YES and NO back into Points."""
        return await self._sets("merge", market_id, quantity_micros, idempotency_key)

    async def _sets(self, verb: str, market_id: str, quantity_micros: int, key: str | None) -> Sets:
        path, body = f"/v1/markets/{market_id}/{verb}", {"quantity_micros": quantity_micros}
        return await self._caller.write("POST", path, Sets, body=body, idempotency_key=key)


def _placed(item: _BatchItem) -> Order | ApiError:
    if item.order is not None:
        return item.order
    error = item.error or {}
    known = {"code", "detail", "retryable"}
    return ApiError(
        str(error.get("code", "INTERNAL")),
        str(error.get("detail", "")),
        retryable=error.get("retryable") is True,
        details={name: value for name, value in error.items() if name not in known},
    )
