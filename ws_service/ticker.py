"""A market in figures, from its book and from what its events say. Pure."""

from typing import Any

from engine.published_book import Book, Figures
from runtime.clock import to_rfc3339


def ticker(market_id: str, book: Book, figures: Figures) -> dict[str, Any]:
    """A `ticker` frame's fields, prices in YES. What takes a day's history is null: no event knows it."""
    bid, ask = max(book.bids, default=None), min(book.asks, default=None)
    return {
        "market_id": market_id,
        "seq": max(book.seq, figures.seq),
        "probability_micros": figures.probability_micros,
        "best_bid_micros": bid,
        "best_ask_micros": ask,
        "mid_micros": None if bid is None or ask is None else (bid + ask) // 2,
        "last_price_micros": figures.last_price_micros or None,
        "change_24h_micros": None,
        "volume_24h_micros": None,
        "open_interest_micros": figures.collateral_micros,
        "time": to_rfc3339(book.time),
    }


def differ(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """Whether a reader of `before` learns something: a later event that changed no figure does not count."""
    if before is None:
        return True
    return any(before[name] != value for name, value in after.items() if name not in ("seq", "time"))
