"""The Bloom filter in front of the idempotency table: "surely new" skips the look-up, the table decides.

Two generations bound its memory: when the younger is full it becomes the older, and the older is dropped; from then
on every key asks.
"""

from __future__ import annotations

from typing import Final

from pybloom_live import BloomFilter

CAPACITY: Final = 500_000
ERROR_RATE: Final = 0.001


class SeenKeys:
    """Keys this process wrote, or loaded after taking the epoch. Until `ready`, every key may have been seen."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._young = BloomFilter(capacity=capacity, error_rate=ERROR_RATE)
        self._old = BloomFilter(capacity=1, error_rate=ERROR_RATE)
        self.ready = False
        self.dropped = False
        """More keys than two generations hold: from then on every key asks the table."""

    def add(self, user_id: str, key: str) -> None:
        if len(self._young) >= self._capacity:
            self.dropped = self.dropped or len(self._old) > 1
            self._old = self._young
            self._young = BloomFilter(capacity=self._capacity, error_rate=ERROR_RATE)
        self._young.add(f"{user_id} {key}")

    def may_hold(self, user_id: str, key: str) -> bool:
        """False only for a key that this process surely did not write or load."""
        if not self.ready or self.dropped:
            return True
        name = f"{user_id} {key}"
        return name in self._young or name in self._old
