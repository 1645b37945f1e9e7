"""A market's book as the server has it, and the frames it sends: the other side of the pure tests."""

import random
from dataclasses import dataclass, field

from predmarket_client.shapes.markets import Level, Pool
from predmarket_client.stream.book import checksum
from predmarket_client.stream.frames import BookDelta, BookSnapshot

MARKET = "0190a000-0000-7000-8000-000000000001"


@dataclass(slots=True)
class BookServer:
    """Changes at random; keeps every state it ever had, by (epoch, seq)."""

    chance: random.Random
    epoch: int = 1
    seq: int = 1
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    states: dict[tuple[int, int], tuple[tuple[Level, ...], tuple[Level, ...]]] = field(default_factory=dict)
    published_seq: int = 1

    def __post_init__(self) -> None:
        self._remember()

    def change(self) -> BookDelta:
        """One delta, of one or several events."""
        changed: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for _ in range(self.chance.randint(1, 4)):
            is_bid = self.chance.random() < 0.5
            price = self.chance.randrange(1, 50) * 10_000 + (0 if is_bid else 500_000)
            quantity = self.chance.choice((0, self.chance.randrange(100, 10**9, 100)))
            side = self.bids if is_bid else self.asks
            changed[is_bid][price] = quantity
            side[price] = quantity
            if not quantity:
                del side[price]
        prev_seq, self.seq = self.seq, self.seq + self.chance.randint(1, 3)
        self._remember()
        return BookDelta(
            market_id=MARKET,
            epoch=self.epoch,
            prev_seq=prev_seq,
            seq=self.seq,
            bids=tuple(changed[True].items()),
            asks=tuple(changed[False].items()),
            pool=Pool(self.seq, self.seq),
            checksum=self._checksum(),
        )

    def take_over(self) -> None:
        """Another owner's epoch begins."""
        self.epoch += 1
        self._remember()

    def snapshot(self) -> BookSnapshot:
        bids, asks = self.states[self.epoch, self.seq]
        return BookSnapshot(
            market_id=MARKET,
            epoch=self.epoch,
            seq=self.seq,
            bids=bids,
            asks=asks,
            pool=Pool(self.seq, self.seq),
            checksum=self._checksum(),
        )

    def _checksum(self) -> int:
        return checksum(*self.states[self.epoch, self.seq])

    def _remember(self) -> None:
        bids = tuple(sorted(self.bids.items(), reverse=True))
        self.states[self.epoch, self.seq] = (bids, tuple(sorted(self.asks.items())))
