"""Who holds a market, and what backs the shares."""

from __future__ import annotations

from typing import Final

from db_service import house
from db_service.paging import Key, Kind, Listing, Query
from market_service.store import Store
from predmarket.market.v1 import market_pb2

SOLVENCY_FIELDS: Final = tuple(field.name for field in market_pb2.GetSolvencyResponse.DESCRIPTOR.fields)
_HOLDERS: Final = Listing(
    "SELECT p.user_id, p.yes_micros, p.no_micros, p.yes_micros + p.no_micros AS held,"
    " coalesce(u.display_name, '') AS display_name FROM positions p LEFT JOIN users u USING (user_id)",
    (Key("p.yes_micros + p.no_micros", Kind.NUMBER, "held"), Key("p.user_id", Kind.ID, "user_id")),
)


async def holders(store: Store, request: market_pb2.ListHoldersRequest) -> market_pb2.ListHoldersResponse:
    """Largest first."""
    query = Query(_HOLDERS)
    query.where("p.market_id = {}", request.market_id)
    query.where("p.yes_micros + p.no_micros > 0")
    statement = query.page(request.page_size, request.page_token)
    rows, token = statement.cut(await store.fetch(statement.text, *statement.arguments))
    return market_pb2.ListHoldersResponse(
        holders=[
            market_pb2.Holder(
                user_id=str(row["user_id"]),
                display_name=row["display_name"],
                yes_micros=row["yes_micros"],
                no_micros=row["no_micros"],
            )
            for row in rows
        ],
        next_page_token=token,
    )


async def solvency(
    store: Store, market_id: str, *, hidden_too: bool
) -> market_pb2.GetSolvencyResponse | None:
    """Of one moment; None: there is no market that this caller may see."""
    found = await house.solvency(store.pool, market_id, hidden_too=hidden_too)
    if found is None:
        return None
    return market_pb2.GetSolvencyResponse(**{name: getattr(found, name) for name in SOLVENCY_FIELDS})
