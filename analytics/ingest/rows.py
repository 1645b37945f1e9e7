"""One event's messages of a topic to rows: pure. What a message has no value for is 0, empty or all zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from analytics.ingest import tables
from analytics.ingest.tables import Table
from engine.units import MICROS
from runtime.clock import from_rfc3339
from runtime.topics import Topic

Row = tuple[Any, ...]
NOBODY: Final = 0
DECISIONS: Final = frozenset({"RESOLVE_MARKET", "CANCEL_MARKET"})
LIFECYCLE: Final = DECISIONS | {
    "CREATE_MARKET",
    "EDIT_MARKET",
    "DELETE_MARKET",
    "ACTIVATE_MARKET",
    "PAUSE_MARKET",
    "RESUME_MARKET",
}


def _number(text: str) -> int:
    """A UUID as the number it is, which ClickHouse's client takes too, and which costs less to make than an object."""
    return int(text.replace("-", ""), 16)


_id = lru_cache(maxsize=65_536)(_number)
"""The same markets, users and orders come again and again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, read. Raises ValueError or KeyError from `read` for what is no message of a topic."""

    market_id: str
    seq: int
    prev_seq: int
    part: int
    parts: int
    content: Mapping[str, Any]


def read(body: bytes) -> Message:
    content = orjson.loads(body)
    return Message(
        content["market_id"],
        content["seq"],
        content["prev_seq"],
        content["part"],
        content["parts"],
        content,
    )


def rows_of(topic: Topic, parts: Sequence[Message]) -> dict[Table, list[Row]]:
    """The rows of one event: all its parts, in order. Tables without a row of it are left out."""
    first = parts[0].content
    key = (_id(first["market_id"]), first["seq"])
    time = from_rfc3339(first["time"])
    match topic:
        case Topic.FILLS:
            made = {tables.FILLS: _fills(_all(parts, "fills")), tables.TRADES: _trades(_all(parts, "trades"))}
        case Topic.PRICE_UPDATES:
            made = {tables.PRICES: [_price(first)]}
        case Topic.ORDER_EVENTS:
            made = {tables.ORDER_EVENTS: [_order(order) for order in _all(parts, "orders")]}
        case Topic.MARKET_EVENTS:
            made = _of_market(first, parts)
    return {
        table: [(*key, index, time, *row) for index, row in enumerate(rows)]
        for table, rows in made.items()
        if rows
    }


def _all(parts: Sequence[Message], name: str) -> list[Any]:
    if len(parts) == 1:
        items: list[Any] = parts[0].content[name]
        return items
    return [item for part in parts for item in part.content[name]]


def _trades(rows: list[Any]) -> list[Row]:
    return [
        (
            _number(row["trade_id"]),
            row["venue"],
            row["kind"],
            row["outcome"],
            row["taker_side"],
            row["price_micros"],
            row["price_micros"] if row["outcome"] == "YES" else MICROS - row["price_micros"],
            row["quantity_micros"],
            row["cost_micros"],
            row["fee_micros"],
            _id(row["taker_order_id"]),
            _id(row["taker_user_id"]),
            _id(row["maker_order_id"]) if row["maker_order_id"] else NOBODY,
            _id(row["maker_user_id"]) if row["maker_user_id"] else NOBODY,
        )
        for row in rows
    ]


def _fills(rows: list[Any]) -> list[Row]:
    return [
        (
            _number(row["trade_id"]),
            _id(row["order_id"]),
            _id(row["user_id"]),
            row["venue"],
            row["liquidity"],
            row["side"],
            row["outcome"],
            row["price_micros"],
            row["quantity_micros"],
            row["cost_micros"],
            row["fee_micros"],
            row["netted_micros"],
        )
        for row in rows
    ]


def _price(row: Mapping[str, Any]) -> Row:
    return (
        row["probability_micros"],
        row["best_bid_micros"] or 0,
        row["best_ask_micros"] or 0,
        row["mid_micros"] or 0,
        row["last_price_micros"] or 0,
        row["pool_yes_micros"],
        row["pool_no_micros"],
        row["open_interest_micros"],
        row["volume_micros"],
    )


def _order(row: Mapping[str, Any]) -> Row:
    return (
        _id(row["order_id"]),
        _id(row["user_id"]),
        row["side"],
        row["outcome"],
        row["type"],
        row["time_in_force"],
        row["status"],
        row["reason"] or "",
        row["price_micros"] or 0,
        row["quantity_micros"],
        row["amount_micros"] or 0,
        row["filled_micros"],
        row["remaining_micros"],
        row["cancelled_micros"],
        row["cost_micros"],
        row["fee_micros"],
        row["netted_micros"],
        row["locked_micros"],
        from_rfc3339(row["created_at"]),
    )


def _of_market(first: Mapping[str, Any], parts: Sequence[Message]) -> dict[Table, list[Row]]:
    kind, market, terms = first["kind"], first["market"], first["terms"]
    changes_market = market is not None and (terms is not None or kind in LIFECYCLE or market["settled"])
    return {
        tables.BOOK_DELTAS: [
            (side, price, quantity)
            for side, name in (("bid", "bids"), ("ask", "asks"))
            for price, quantity in _all(parts, name)
        ],
        tables.LEDGER: [_ledger(row, kind) for row in _all(parts, "ledger")],
        tables.MARKETS: [_market(market, terms)] if changes_market else [],
        tables.RESOLUTIONS: _resolution(first, _all(parts, "payouts")),
        tables.MARKET_EVENTS: [_event(first, market or _NO_MARKET)],
    }


def _ledger(row: Mapping[str, Any], kind: str) -> Row:
    user_id = _id(row["user_id"]) if row["user_id"] else NOBODY
    return (user_id, kind, row["points_micros"], row["yes_micros"], row["no_micros"])


_NO_TERMS: Final[Mapping[str, Any]] = {
    "question": "",
    "category": "",
    "tick_micros": 0,
    "fee_bps": 0,
    "liquidity_micros": 0,
    "initial_probability_micros": 0,
    "opens_at": None,
    "closes_at": None,
}


def _market(market: Mapping[str, Any], terms: Mapping[str, Any] | None) -> Row:
    stated = terms or _NO_TERMS
    return (
        stated["question"],
        stated["category"] or "",
        market["status"],
        market["reason"] or "",
        market["outcome"] or "",
        stated["tick_micros"],
        stated["fee_bps"],
        stated["liquidity_micros"],
        stated["initial_probability_micros"],
        _time(stated["opens_at"]),
        _time(stated["closes_at"]),
        terms is not None,
        market["settled"],
    )


def _resolution(first: Mapping[str, Any], payouts: list[Any]) -> list[Row]:
    market = first["market"]
    if market is None:
        return []
    outcome = market["outcome"] or ""
    rows: list[Row] = []
    if first["kind"] in DECISIONS:
        rows.append(("DECISION", outcome, NOBODY, market["payable_micros"], market["owed_micros"], 0, 0, 0))
    rows.extend(
        (
            "PAYOUT",
            outcome,
            _id(row["user_id"]),
            row["points_micros"],
            0,
            row["yes_micros"],
            row["no_micros"],
            row["cost_basis_micros"],
        )
        for row in payouts
    )
    return rows


_NO_MARKET: Final[Mapping[str, Any]] = {"status": "", "closing_probability_micros": None} | {
    f"{name}_micros": 0
    for name in (
        *("collateral", "pool_yes", "pool_no", "vault", "treasury_yes", "treasury_no", "treasury_points"),
        *("pending", "volume"),
    )
}


def _event(first: Mapping[str, Any], market: Mapping[str, Any]) -> Row:
    return (
        first["kind"],
        first["topics"],
        first["market"] is not None,
        market["status"],
        market["collateral_micros"],
        market["pool_yes_micros"],
        market["pool_no_micros"],
        market["vault_micros"],
        market["treasury_yes_micros"],
        market["treasury_no_micros"],
        market["treasury_points_micros"],
        market["pending_micros"],
        market["volume_micros"],
        market["closing_probability_micros"] or 0,
        first["hash"],
    )


def _time(text: str | None) -> int:
    return from_rfc3339(text) if text else 0
