"""Candles as their definition says, one message after the other; what the queries must equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from predmarket.analytics.v1 import analytics_pb2 as pb
from runtime.clock import from_rfc3339

FIGURES = ("probability_micros", "best_bid_micros", "best_ask_micros")


class CandlesByHand:
    """Of one market and one step (micros). Prices in order first, then trades."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._ohlc: dict[int, tuple[list[int], list[int], list[int]]] = {}
        self._in_force = [0, 0, 0]
        self._sums: dict[int, list[int]] = {}

    def price(self, time: int, figures: Sequence[int]) -> None:
        """P_YES, best bid and best ask (0: none) from `time` (micros) on."""
        start = time // self._step * self._step
        if start not in self._ohlc:
            self._ohlc[start] = ([0] * 4, [0] * 4, [0] * 4)
            self._sums[start] = [0] * 5
            for ohlc, value in zip(self._ohlc[start], self._in_force, strict=True):
                _move(ohlc, value)
        self._in_force = list(figures)
        for ohlc, value in zip(self._ohlc[start], figures, strict=True):
            _move(ohlc, value)

    def trade(self, time: int, venue: str, taker_side: str, outcome: str, quantity: int) -> None:
        """`time` in micros. It came with a price, so its candle is there."""
        sums = self._sums[time // self._step * self._step]
        sums[0 if venue == "BOOK" else 1] += quantity
        sums[2 if (taker_side == "BUY") == (outcome == "YES") else 3] += quantity
        sums[4] += 1

    def made(self) -> list[pb.Candle]:
        """Oldest first."""
        return [
            pb.Candle(
                start=start,
                price=_as_message(ohlc[0]),
                bid=_as_message(ohlc[1]),
                ask=_as_message(ohlc[2]),
                volume_book_micros=self._sums[start][0],
                volume_pool_micros=self._sums[start][1],
                volume_up_micros=self._sums[start][2],
                volume_down_micros=self._sums[start][3],
                trades=self._sums[start][4],
            )
            for start, ohlc in sorted(self._ohlc.items())
        ]


def candles_of(
    prices: Iterable[Mapping[str, Any]], fills: Iterable[Mapping[str, Any]], step: int
) -> list[pb.Candle]:
    """Of all messages of these two topics."""
    by_hand = CandlesByHand(step)
    for content in prices:
        by_hand.price(from_rfc3339(content["time"]), [content[name] or 0 for name in FIGURES])
    for content in fills:
        for row in content["trades"]:
            by_hand.trade(
                from_rfc3339(content["time"]),
                *(row[name] for name in ("venue", "taker_side", "outcome", "quantity_micros")),
            )
    return by_hand.made()


def _move(ohlc: list[int], value: int) -> None:
    if not value:
        return
    ohlc[0] = ohlc[0] or value
    ohlc[1] = max(ohlc[1], value)
    ohlc[2] = min(ohlc[2] or value, value)
    ohlc[3] = value


def _as_message(ohlc: list[int]) -> pb.Ohlc:
    first, high, low, last = ohlc
    return pb.Ohlc(open_micros=first, high_micros=high, low_micros=low, close_micros=last)
