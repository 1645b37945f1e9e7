"""A replica of one market's book: absolute levels in YES prices, chained by the market's event numbers.

It follows the bus' messages, which order_service makes; whoever shows a live book follows them this way.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

CHECKSUM_LEVELS = 10
Levels = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """A market beside its book, as event `seq` left it. `last_price_micros` 0: nobody has traded."""

    seq: int
    probability_micros: int
    last_price_micros: int
    collateral_micros: int
    volume_micros: int
    status: str


@dataclass(frozen=True, slots=True)
class BookMessage:
    """What changed between two events of a market, as the bus tells it. Quantity 0: the level is gone."""

    epoch: int
    prev_seq: int
    seq: int
    time: int
    bids: Mapping[int, int]
    asks: Mapping[int, int]
    pool_yes_micros: int
    pool_no_micros: int
    figures: Figures


def book_message(data: bytes) -> BookMessage:
    """A message of the bus. Raises ValueError, KeyError or TypeError."""
    document = orjson.loads(data)
    sides: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
    for price, quantity, side in document["levels"]:
        sides[side][int(price)] = int(quantity)
    return BookMessage(
        epoch=document["epoch"],
        prev_seq=document["prev_seq"],
        seq=document["seq"],
        time=document["time"],
        bids=sides["bid"],
        asks=sides["ask"],
        pool_yes_micros=document["pool"]["yes_micros"],
        pool_no_micros=document["pool"]["no_micros"],
        figures=Figures(
            seq=document["seq"],
            probability_micros=document["probability_micros"],
            last_price_micros=document["last_price_micros"],
            collateral_micros=document["collateral_micros"],
            volume_micros=document["volume_micros"],
            status=document["status"],
        ),
    )


@dataclass(frozen=True, slots=True)
class Delta:
    """What a reader at `prev_seq` needs to be at `seq`."""

    prev_seq: int
    bids: Levels
    asks: Levels


@dataclass(slots=True)
class Book:
    """The whole book at `seq`, and what changed since `published_seq`."""

    epoch: int
    seq: int
    time: int
    bids: dict[int, int]
    asks: dict[int, int]
    pool_yes_micros: int
    pool_no_micros: int
    published_seq: int = 0
    _changed_bids: set[int] = field(default_factory=set)
    _changed_asks: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.published_seq = self.seq

    @property
    def is_ahead(self) -> bool:
        """Readers have not been told everything."""
        return self.seq != self.published_seq

    def is_gap(self, message: BookMessage) -> bool:
        """Something between this book and the message is missing, or another owner's story begins."""
        return message.epoch > self.epoch or (message.epoch == self.epoch and message.prev_seq > self.seq)

    def apply(self, message: BookMessage) -> None:
        """Levels are absolute, so a message that begins before this book and ends after it still fits.

        What is older than this book, or a former owner's, changes nothing."""
        assert not self.is_gap(message)
        if message.seq <= self.seq or message.epoch < self.epoch:
            return
        _assign(self.bids, message.bids)
        _assign(self.asks, message.asks)
        self._changed_bids.update(message.bids)
        self._changed_asks.update(message.asks)
        self.pool_yes_micros = message.pool_yes_micros
        self.pool_no_micros = message.pool_no_micros
        self.seq, self.time = message.seq, message.time

    def take_delta(self) -> Delta:
        """All changes since the last one taken; the book counts as published afterwards."""
        delta = Delta(
            self.published_seq,
            [(price, self.bids.get(price, 0)) for price in sorted(self._changed_bids, reverse=True)],
            [(price, self.asks.get(price, 0)) for price in sorted(self._changed_asks)],
        )
        self._changed_bids.clear()
        self._changed_asks.clear()
        self.published_seq = self.seq
        return delta

    def best_bids(self) -> Levels:
        """Highest first."""
        return sorted(self.bids.items(), reverse=True)

    def best_asks(self) -> Levels:
        """Lowest first."""
        return sorted(self.asks.items())

    def checksum(self) -> int:
        """The public checksum, of the book as it is."""
        return checksum(self.best_bids(), self.best_asks())


def checksum(bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> int:
    """CRC-32 of `p:q:p:q...` over the ten best asks, `|`, the ten best bids; both best first."""
    return zlib.crc32(f"{_joined(asks)}|{_joined(bids)}".encode())


def _joined(levels: Iterable[tuple[int, int]]) -> str:
    best = [level for level, _ in zip(levels, range(CHECKSUM_LEVELS), strict=False)]
    return ":".join(f"{price}:{quantity}" for price, quantity in best)


def _assign(levels: dict[int, int], changes: Mapping[int, int]) -> None:
    for price, quantity in changes.items():
        if quantity:
            levels[price] = quantity
        else:
            levels.pop(price, None)
