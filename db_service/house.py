"""Reads about the house's money: settlements, solvency, treasury, revenue. Who may call is decided in `rpc`."""

from __future__ import annotations

from typing import Final

from db_service.history import HIDDEN, one_moment
from db_service.paging import Key, Kind, Listing, Query
from engine.commands import TREASURY_ID
from predmarket.db.v1 import db_pb2
from runtime.postgres import Pool

SETTLEMENTS: Final = Listing(
    "SELECT * FROM trade_ledger",
    (Key("event_time", Kind.NUMBER), Key("market_id", Kind.ID), Key("event_seq", Kind.NUMBER)),
)
REVENUE: Final = Listing("SELECT * FROM markets", (Key("created_at", Kind.NUMBER), Key("market_id", Kind.ID)))
DECIDED: Final = ("RESOLVED", "CANCELLED")


async def settlements(
    pool: Pool, user_id: str, request: db_pb2.ListSettlementsRequest
) -> db_pb2.ListSettlementsResponse:
    """What one user was paid."""
    query = Query(SETTLEMENTS)
    query.where("user_id = {}", user_id)
    query.where("kind = 'PAY_HOLDERS'")
    if request.market_id:
        query.where("market_id = {}", request.market_id)
    statement = query.page(request.page_size, request.page_token)
    async with one_moment(pool) as connection:
        rows, token = statement.cut(await connection.fetch(statement.text, *statement.arguments))
        markets = await connection.fetch(
            "SELECT market_id, question, status, outcome FROM markets WHERE market_id = ANY($1::uuid[])",
            [row["market_id"] for row in rows],
        )
    by_id = {market["market_id"]: market for market in markets}
    found = [
        db_pb2.Settlement(
            market_id=str(row["market_id"]),
            question=by_id[row["market_id"]]["question"],
            status=by_id[row["market_id"]]["status"],
            outcome=by_id[row["market_id"]]["outcome"],
            points_micros=row["points_micros"],
            yes_micros=-row["yes_micros"],
            no_micros=-row["no_micros"],
            time=row["event_time"],
        )
        for row in rows
    ]
    return db_pb2.ListSettlementsResponse(settlements=found, next_page_token=token)


async def solvency(pool: Pool, market_id: str, *, hidden_too: bool) -> db_pb2.GetSolvencyResponse | None:
    """One market's shares; None: there is none that this caller may see."""
    condition = "" if hidden_too else f" AND NOT {HIDDEN}"
    async with one_moment(pool) as connection:
        market = await connection.fetchrow(
            f"SELECT * FROM markets WHERE market_id = $1{condition}", market_id
        )
        if market is None:
            return None
        users = await connection.fetchrow(
            "SELECT coalesce(sum(yes_micros), 0)::bigint AS yes, coalesce(sum(no_micros), 0)::bigint AS no"
            " FROM positions WHERE market_id = $1",
            market_id,
        )
    assert users is not None
    yes = users["yes"] + market["pool_yes_micros"] + market["treasury_yes_micros"]
    no = users["no"] + market["pool_no_micros"] + market["treasury_no_micros"]
    collateral = market["collateral_micros"]
    still_owed = market["payable_micros"] - market["paid_micros"]
    is_solvent = collateral >= still_owed if market["status"] in DECIDED else yes == no == collateral
    return db_pb2.GetSolvencyResponse(
        market_id=market_id,
        seq=market["seq"],
        status=market["status"],
        collateral_micros=collateral,
        users_yes_micros=users["yes"],
        users_no_micros=users["no"],
        pool_yes_micros=market["pool_yes_micros"],
        pool_no_micros=market["pool_no_micros"],
        treasury_yes_micros=market["treasury_yes_micros"],
        treasury_no_micros=market["treasury_no_micros"],
        is_solvent=is_solvent,
    )


async def treasury(pool: Pool) -> db_pb2.GetTreasuryResponse:
    """The house's points over everything."""
    async with one_moment(pool) as connection:
        account = await connection.fetchrow("SELECT * FROM accounts WHERE user_id = $1", TREASURY_ID)
        sums = await connection.fetchrow(
            "SELECT coalesce(sum(vault_micros + treasury_points_micros), 0)::bigint AS in_markets,"
            " coalesce(sum(pending_micros), 0)::bigint AS pending,"
            " coalesce(sum(collateral_micros), 0)::bigint AS collateral FROM markets"
        )
        granted = await connection.fetchval("SELECT granted_micros FROM issuance")
    assert sums is not None
    return db_pb2.GetTreasuryResponse(
        user_id=TREASURY_ID,
        available_micros=account["available_micros"] if account else 0,
        locked_micros=account["locked_micros"] if account else 0,
        in_markets_micros=sums["in_markets"],
        pending_micros=sums["pending"],
        collateral_micros=sums["collateral"],
        granted_micros=granted,
    )


async def revenue(pool: Pool, request: db_pb2.ListRevenueRequest) -> db_pb2.ListRevenueResponse:
    """Market by market."""
    query = Query(REVENUE)
    query.where(f"NOT {HIDDEN}")
    statement = query.page(request.page_size, request.page_token)
    async with one_moment(pool) as connection:
        rows, token = statement.cut(await connection.fetch(statement.text, *statement.arguments))
        swept = await connection.fetch(
            "SELECT market_id, sum(points_micros)::bigint AS points FROM trade_ledger"
            " WHERE user_id = $1 AND kind = 'SWEEP_MARKET' AND market_id = ANY($2::uuid[]) GROUP BY market_id",
            TREASURY_ID,
            [row["market_id"] for row in rows],
        )
    swept_of = {row["market_id"]: row["points"] for row in swept}
    found = [
        db_pb2.MarketRevenue(
            market_id=str(row["market_id"]),
            question=row["question"],
            status=row["status"],
            vault_micros=row["vault_micros"],
            treasury_points_micros=row["treasury_points_micros"],
            pending_micros=row["pending_micros"],
            swept_micros=swept_of.get(row["market_id"], 0),
            created_at=row["created_at"],
        )
        for row in rows
    ]
    return db_pb2.ListRevenueResponse(rows=found, next_page_token=token)
