"""The caller's portfolio, orders, fills and ledger, and the audit log: what db_service reads."""

from typing import Any

import orjson

from api_gateway import admin_models, models, shapes
from api_gateway.routing import Answer, Call
from predmarket.db.v1 import db_pb2
from runtime.errors import ErrorCode
from runtime.grpc_client import call as ask

TREASURY_FIELDS = tuple(field.name for field in db_pb2.GetTreasuryResponse.DESCRIPTOR.fields)


async def portfolio(call: Call) -> Answer:
    """Balances and holdings of one moment."""
    answer = await _ask(call, "GetPortfolio", db_pb2.GetPortfolioRequest())
    return Answer(
        {
            "available_micros": answer.available_micros,
            "locked_micros": answer.locked_micros,
            "equity_micros": answer.equity_micros,
            "unrealized_pnl_micros": answer.unrealized_pnl_micros,
            "realized_pnl_micros": answer.realized_pnl_micros,
            "user_seq": answer.user_seq,
            "positions": [_position(item) for item in answer.positions],
        }
    )


async def positions(call: Call) -> Answer:
    """Also those without holdings."""
    page = call.parsed_query(models.HistoryPage)
    request = db_pb2.ListPositionsRequest(market_id=page.market_id or "", **_paging(page))
    answer = await _ask(call, "ListPositions", request)
    return _page([_position(item) for item in answer.positions], answer)


async def orders(call: Call) -> Answer:
    """Newest first, without fills."""
    page = call.parsed_query(models.OrdersPage)
    request = db_pb2.ListOrdersRequest(
        market_id=page.market_id or "",
        status=page.status or "",
        open_only=page.open_only == "true",
        **_paging(page),
    )
    answer = await _ask(call, "ListOrders", request)
    rows = [shapes.order(item) for item in answer.orders]
    for row in rows:
        del row["fills"]
    return _page(rows, answer)


async def order(call: Call) -> Answer:
    """With all its fills."""
    request = db_pb2.GetOrderRequest(order_id=call.id(ErrorCode.ORDER_NOT_FOUND))
    answer = await _ask(call, "GetOrder", request)
    return Answer(shapes.order(answer.order))


async def fills(call: Call) -> Answer:
    """Newest first."""
    page = call.parsed_query(models.FillsPage)
    request = db_pb2.ListFillsRequest(
        market_id=page.market_id or "", order_id=page.order_id or "", **_paging(page)
    )
    answer = await _ask(call, "ListFills", request)
    return _page([shapes.fill(item) for item in answer.fills], answer)


async def ledger(call: Call) -> Answer:
    """Every change of the caller's points or shares."""
    page = call.parsed_query(models.LedgerPage)
    request = db_pb2.ListLedgerRequest(market_id=page.market_id or "", kind=page.kind or "", **_paging(page))
    answer = await _ask(call, "ListLedger", request)
    return _page([_ledger_row(row) for row in answer.rows], answer)


async def settlements(call: Call) -> Answer:
    """What decided markets paid the caller."""
    page = call.parsed_query(models.HistoryPage)
    request = db_pb2.ListSettlementsRequest(market_id=page.market_id or "", **_paging(page))
    answer = await _ask(call, "ListSettlements", request)
    return _page([_settlement(row) for row in answer.settlements], answer)


async def treasury(call: Call) -> Answer:
    """The house's points."""
    answer = await _ask(call, "GetTreasury", db_pb2.GetTreasuryRequest())
    return Answer({name: getattr(answer, name) for name in TREASURY_FIELDS})


async def revenue(call: Call) -> Answer:
    """What each market brings the house."""
    page = call.parsed_query(models.Page)
    answer = await _ask(call, "ListRevenue", db_pb2.ListRevenueRequest(**_paging(page)))
    return _page([_revenue_row(row) for row in answer.rows], answer)


async def audit(call: Call) -> Answer:
    """Who did what, why."""
    page = call.parsed_query(admin_models.AuditPage)
    request = db_pb2.ListAuditRequest(
        actor_id=page.actor_id or "", target=page.target or "", action=page.action or "", **_paging(page)
    )
    answer = await _ask(call, "ListAudit", request)
    return _page([_audit_row(row) for row in answer.rows], answer)


async def _ask(call: Call, method: str, request: Any) -> Any:
    bound = getattr(call.clients.database, method)
    return await ask(bound, request, authorization=call.authorization)


def _paging(page: models.Page) -> dict[str, Any]:
    return {"page_size": page.limit, "page_token": page.cursor or ""}


def _page(items: list[dict[str, Any]], answer: Any) -> Answer:
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


def _position(message: db_pb2.Position) -> dict[str, Any]:
    return {
        "market_id": message.market_id,
        "yes_micros": message.yes_micros,
        "no_micros": message.no_micros,
        "locked_yes_micros": message.locked_yes_micros,
        "locked_no_micros": message.locked_no_micros,
        "cost_basis_yes_micros": message.cost_basis_yes_micros,
        "cost_basis_no_micros": message.cost_basis_no_micros,
        "realized_pnl_micros": message.realized_pnl_micros,
        "mark_micros": message.mark_micros,
    }


def _ledger_row(message: db_pb2.LedgerRow) -> dict[str, Any]:
    return {
        "event_seq": message.event_seq,
        "market_id": message.market_id,
        "kind": message.kind,
        "points_micros": message.points_micros,
        "yes_micros": message.yes_micros,
        "no_micros": message.no_micros,
        "balance_after_micros": message.balance_after_micros,
        "time": shapes.time_of(message.time),
    }


def _settlement(message: db_pb2.Settlement) -> dict[str, Any]:
    return {
        "market_id": message.market_id,
        "question": message.question,
        "status": message.status,
        "outcome": message.outcome or None,
        "points_micros": message.points_micros,
        "yes_micros": message.yes_micros,
        "no_micros": message.no_micros,
        "time": shapes.time_of(message.time),
    }


def _revenue_row(message: db_pb2.MarketRevenue) -> dict[str, Any]:
    return {
        "market_id": message.market_id,
        "question": message.question,
        "status": message.status,
        "vault_micros": message.vault_micros,
        "treasury_points_micros": message.treasury_points_micros,
        "pending_micros": message.pending_micros,
        "swept_micros": message.swept_micros,
        "created_at": shapes.time_of(message.created_at),
    }


def _audit_row(message: db_pb2.AuditRow) -> dict[str, Any]:
    return {
        "audit_id": message.audit_id,
        "time": shapes.time_of(message.time),
        "actor_id": message.actor_id,
        "action": message.action,
        "target": message.target,
        "reason": message.reason or None,
        "before": orjson.loads(message.before_json) if message.before_json else None,
        "after": orjson.loads(message.after_json) if message.after_json else None,
        "trace_id": message.trace_id or None,
    }
