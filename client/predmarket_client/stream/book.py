"""One market's book, kept from a snapshot and the deltas after it. Pure: frames in, a verdict out.

A delta fits only on the book it was made for: same `epoch`, and its `prev_seq` is our `seq`. After every frame the
checksum must be the server's. On any doubt the book is dropped, and a snapshot has to be asked for: the book is right
or it is not there, never silently wrong. It never goes back in time.
"""

import zlib
from collections.abc import Iterable
from enum import Enum

from predmarket_client.shapes.markets import Level, Pool
from predmarket_client.stream.frames import BookDelta, BookSnapshot

CHECKSUM_LEVELS = 10


class Verdict(Enum):
    """What a frame did."""

    CHANGED = "CHANGED"
    """The book is that of the frame."""
    IGNORED = "IGNORED"
    """Known already, older, or of no use without a book."""
    DOUBT = "DOUBT"
    """Something is missing or wrong: the book is gone, a snapshot is needed."""


class Book:
    """Levels in YES prices. Empty, and not `is_current`, until the first snapshot and while in doubt."""

    def __init__(self) -> None:
        self.is_current = False
        self.epoch = 0
        self.seq = 0
        self.pool = Pool(0, 0)
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best_bids: tuple[Level, ...] | None = None
        self._best_asks: tuple[Level, ...] | None = None

    @property
    def bids(self) -> tuple[Level, ...]:
        """(price, quantity), highest price first."""
        if self._best_bids is None:
            self._best_bids = tuple(sorted(self._bids.items(), reverse=True))
        return self._best_bids

    @property
    def asks(self) -> tuple[Level, ...]:
        """(price, quantity), lowest price first."""
        if self._best_asks is None:
            self._best_asks = tuple(sorted(self._asks.items()))
        return self._best_asks

    def take_snapshot(self, frame: BookSnapshot) -> Verdict:
        """A whole book."""
        if (frame.epoch, frame.seq) < (self.epoch, self.seq):
            return Verdict.IGNORED if self.is_current else Verdict.DOUBT
        self._bids, self._asks = dict(frame.bids), dict(frame.asks)
        return self._now_at(frame)

    def take_delta(self, frame: BookDelta) -> Verdict:
        """What changed since the frame before."""
        if not self.is_current or (frame.epoch, frame.seq) <= (self.epoch, self.seq):
            return Verdict.IGNORED
        if frame.epoch != self.epoch or frame.prev_seq != self.seq:
            return self.drop()
        _assign(self._bids, frame.bids)
        _assign(self._asks, frame.asks)
        return self._now_at(frame)

    def drop(self) -> Verdict:
        """Forget the levels: nobody knows whether they are still so. What was known last bounds what comes."""
        self.is_current = False
        self._bids, self._asks = {}, {}
        self._best_bids = self._best_asks = None
        return Verdict.DOUBT

    def _now_at(self, frame: BookSnapshot | BookDelta) -> Verdict:
        self._best_bids = self._best_asks = None
        if checksum(self.bids, self.asks) != frame.checksum:
            return self.drop()
        self.epoch, self.seq, self.pool = frame.epoch, frame.seq, frame.pool
        self.is_current = True
        return Verdict.CHANGED


def checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """CRC-32 of `p:q:p:q...` over the ten best asks, `|`, the ten best bids; both best first."""
    return zlib.crc32(f"{_joined(asks)}|{_joined(bids)}".encode())


def _joined(levels: Iterable[Level]) -> str:
    best = [level for level, _ in zip(levels, range(CHECKSUM_LEVELS), strict=False)]
    return ":".join(f"{price}:{quantity}" for price, quantity in best)


def _assign(levels: dict[int, int], changes: Iterable[Level]) -> None:
    for price, quantity in changes:
        if quantity:
            levels[price] = quantity
        else:
            levels.pop(price, None)
