"""What the caller owns, and how it came. Always fresh: never served from a cache."""

from predmarket_client.caller import Caller
from predmarket_client.paging import Page, Pages
from predmarket_client.shapes.portfolio import LedgerRow, PastSettlement, Portfolio, Position
from predmarket_client.shapes.trading import Fill

PAGE_ROWS = 100


class Portfolios:
    """`client.portfolio`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self) -> Portfolio:
        """Balances and holdings of one moment."""
        return await self._caller.get("/v1/portfolio", Portfolio)

    def positions(self, *, market_id: str | None = None, page_rows: int = PAGE_ROWS) -> Pages[Position]:
        """Also past ones, without shares."""

        async def fetch(cursor: str | None) -> Page[Position]:
            query = {"market_id": market_id, "limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/positions", Page[Position], query=query)

        return Pages(fetch)

    def fills(
        self, *, market_id: str | None = None, order_id: str | None = None, page_rows: int = PAGE_ROWS
    ) -> Pages[Fill]:
        """Of one market or order, or all."""

        async def fetch(cursor: str | None) -> Page[Fill]:
            query = {"market_id": market_id, "order_id": order_id, "limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/fills", Page[Fill], query=query)

        return Pages(fetch)

    def ledger(
        self, *, market_id: str | None = None, kind: str | None = None, page_rows: int = PAGE_ROWS
    ) -> Pages[LedgerRow]:
        """Every change of points or shares; the balance is the sum of its rows."""

        async def fetch(cursor: str | None) -> Page[LedgerRow]:
            query = {"market_id": market_id, "kind": kind, "limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/ledger", Page[LedgerRow], query=query)

        return Pages(fetch)

    def settlements(
        self, *, market_id: str | None = None, page_rows: int = PAGE_ROWS
    ) -> Pages[PastSettlement]:
        """What decided markets paid."""

        async def fetch(cursor: str | None) -> Page[PastSettlement]:
            query = {"market_id": market_id, "limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/settlements", Page[PastSettlement], query=query)

        return Pages(fetch)
