"""A market in figures, from its book and from what its events say. Pure."""

from typing import Any

from engine.depth import Depth, merged, plain
from engine.published_book import Book, Figures
from runtime.clock import to_rfc3339
from ws_service.days import Yesterday


def ticker(
    market_id: str, book: Book, figures: Figures, *, tick_micros: int, yesterday: Yesterday | None
) -> dict[str, Any]:
    """A `ticker` frame's fields, prices in YES, the best ones of book and pool together. What takes a day's history is
    null while nobody has told of yesterday."""
    best = _best(book, tick_micros)
    bid = best.bids[0].price if best.bids else None
    ask = best.asks[0].price if best.asks else None
    return {
        "market_id": market_id,
        "seq": max(book.seq, figures.seq),
        "probability_micros": figures.probability_micros,
        "best_bid_micros": bid,
        "best_ask_micros": ask,
        "mid_micros": None if bid is None or ask is None else (bid + ask) // 2,
        "last_price_micros": figures.last_price_micros or None,
        "change_24h_micros": yesterday and figures.probability_micros - yesterday.probability_micros,
        "volume_24h_micros": yesterday and max(0, figures.volume_micros - yesterday.volume_micros),
        "open_interest_micros": figures.collateral_micros,
        "time": to_rfc3339(book.time),
    }


def differ(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """Whether a reader of `before` learns something: a later event that changed no figure does not count."""
    if before is None:
        return True
    return any(before[name] != value for name, value in after.items() if name not in ("seq", "time"))


def _best(book: Book, tick_micros: int) -> Depth:
    """The first level of each side."""
    if not tick_micros:
        return plain(book.bids, book.asks, 1)
    return merged(
        book.bids,
        book.asks,
        pool_yes=book.pool_yes_micros,
        pool_no=book.pool_no_micros,
        tick=tick_micros,
        depth=1,
    )
