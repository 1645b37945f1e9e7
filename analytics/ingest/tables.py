"""The tables of events: which columns, and which topic they come from. The SQL is in analytics/schema/versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.topics import Topic

KEY: Final = ("market_id", "seq", "row", "time")


@dataclass(frozen=True, slots=True)
class Table:
    """One table; its rows are tuples in the order of `names`."""

    name: str
    topic: Topic
    names: tuple[str, ...]


def _table(name: str, topic: Topic, *columns: str) -> Table:
    return Table(name, topic, (*KEY, *columns))


FILLS: Final = _table(
    "fills",
    Topic.FILLS,
    *("trade_id", "order_id", "user_id", "venue", "liquidity", "side", "outcome", "price_micros"),
    *("quantity_micros", "cost_micros", "fee_micros", "netted_micros"),
)
TRADES: Final = _table(
    "trades",
    Topic.FILLS,
    *("trade_id", "venue", "kind", "outcome", "taker_side", "price_micros", "yes_price_micros"),
    *("quantity_micros", "cost_micros", "fee_micros"),
    *("taker_order_id", "taker_user_id", "maker_order_id", "maker_user_id"),
)
PRICES: Final = _table(
    "prices",
    Topic.PRICE_UPDATES,
    *("probability_micros", "best_bid_micros", "best_ask_micros", "mid_micros", "last_price_micros"),
    *("pool_yes_micros", "pool_no_micros", "open_interest_micros", "volume_micros"),
)
ORDER_EVENTS: Final = _table(
    "order_events",
    Topic.ORDER_EVENTS,
    *("order_id", "user_id", "side", "outcome", "type", "time_in_force", "status", "reason", "price_micros"),
    *("quantity_micros", "amount_micros", "filled_micros", "remaining_micros", "cancelled_micros"),
    *("cost_micros", "fee_micros", "netted_micros", "locked_micros", "created_at"),
)
BOOK_DELTAS: Final = _table("book_deltas", Topic.MARKET_EVENTS, "side", "price_micros", "quantity_micros")
LEDGER: Final = _table(
    "ledger", Topic.MARKET_EVENTS, "user_id", "kind", "points_micros", "yes_micros", "no_micros"
)
MARKETS: Final = _table(
    "markets",
    Topic.MARKET_EVENTS,
    *("question", "category", "status", "reason", "outcome", "tick_micros", "fee_bps", "liquidity_micros"),
    *("initial_probability_micros", "opens_at", "closes_at", "has_terms", "settled"),
)
RESOLUTIONS: Final = _table(
    "resolutions",
    Topic.MARKET_EVENTS,
    *(
        "step",
        "outcome",
        "user_id",
        "points_micros",
        "owed_micros",
        "yes_micros",
        "no_micros",
        "basis_micros",
    ),
)
MARKET_EVENTS: Final = _table(
    "market_events",
    Topic.MARKET_EVENTS,
    *("kind", "topics", "has_market", "status", "collateral_micros", "pool_yes_micros", "pool_no_micros"),
    *("vault_micros", "treasury_yes_micros", "treasury_no_micros", "treasury_points_micros"),
    *("pending_micros", "volume_micros", "closing_probability_micros", "hash"),
)

BY_TOPIC: Final[dict[Topic, tuple[Table, ...]]] = {
    Topic.FILLS: (FILLS, TRADES),
    Topic.PRICE_UPDATES: (PRICES,),
    Topic.ORDER_EVENTS: (ORDER_EVENTS,),
    Topic.MARKET_EVENTS: (BOOK_DELTAS, LEDGER, MARKETS, RESOLUTIONS, MARKET_EVENTS),
}
"""Of each topic, its tables in the order they are written. The last has a row for every event of the topic, so what it
has, all have."""

TABLES: Final = tuple(table for tables in BY_TOPIC.values() for table in tables)


def main_table(topic: Topic) -> Table:
    """The one with a row for every event of the topic."""
    return BY_TOPIC[topic][-1]
