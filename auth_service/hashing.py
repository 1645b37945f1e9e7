"""argon2id in a bounded executor: hashing costs tenths of a second of CPU and must never starve the loop.

Verifying always costs one argon2 run, whether or not there is anything to verify against, so that an unknown
account takes as long as a known one.
"""

import asyncio
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

Result = TypeVar("Result")

WORKER_NICENESS = 10
"""Hashing yields to everything else on the machine: a flood of log-ins must not slow orders down."""


class HashingQueueFull(Exception):
    """More hashing waits than is allowed; the caller should come back after `retry_after_ms`."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"hashing queue full, retry after {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class HashingLimits:
    """Cost of one hash (RFC 9106) and how much of it may run and wait."""

    time_cost: int = 3
    memory_kib: int = 65_536
    lanes: int = 1
    workers: int = max(1, (os.cpu_count() or 1) // 2)
    """Hashes that run at once; each also holds `memory_kib` of memory."""
    queue_max: int = 16
    """Hashes that may wait beside those that run."""
    queue_seconds: float = 3.0
    """So long one may have to wait; on a busy machine fewer than `queue_max` wait no longer. Others are better told to
    come back than answered when nobody listens any more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right, and its new hash when the stored one has outdated parameters."""

    is_right: bool
    new_hash: str | None = None


class BoundedHasher:
    """Hashes and verifies passwords on worker threads (argon2 releases the GIL)."""

    def __init__(self, limits: HashingLimits) -> None:
        self._limits = limits
        self._argon2 = PasswordHasher(
            time_cost=limits.time_cost,
            memory_cost=limits.memory_kib,
            parallelism=limits.lanes,
            hash_len=32,
            salt_len=16,
            type=Type.ID,
        )
        self._executor = ThreadPoolExecutor(limits.workers, "argon2", initializer=_be_nice)
        self._lock = threading.Lock()
        self._pending = 0
        began = time.monotonic()
        # Nobody knows this password, so nothing ever verifies against it.
        self._nobodys_hash = self._argon2.hash(secrets.token_urlsafe(32))
        self._seconds_per_hash = time.monotonic() - began

    async def hash(self, password: str) -> str:
        """The password's PHC string. Raises HashingQueueFull at once when too much waits."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, stored_hash: str | None, password: str) -> Verdict:
        """Compares at the cost of one hash; `None` (no account) never matches. Raises HashingQueueFull."""
        return await self._run(lambda: self._verify(stored_hash, password))

    def check_room(self) -> None:
        """Raises HashingQueueFull when the next hash would be refused, so that a flood costs nothing else first."""
        waiting = self._pending - self._limits.workers
        wait_seconds = self._pending / self._limits.workers * self._seconds_per_hash
        if waiting >= self._limits.queue_max or (waiting >= 0 and wait_seconds > self._limits.queue_seconds):
            raise HashingQueueFull(retry_after_ms=self._retry_after_ms())

    def close(self) -> None:
        """Drops what waits and lets what runs end."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def pending(self) -> int:
        """Hashes running or waiting."""
        return self._pending

    def _verify(self, stored_hash: str | None, password: str) -> Verdict:
        try:
            self._argon2.verify(stored_hash or self._nobodys_hash, password)
        except (VerificationError, InvalidHashError):
            return Verdict(is_right=False)
        if stored_hash is None:
            return Verdict(is_right=False)
        if self._argon2.check_needs_rehash(stored_hash):
            return Verdict(is_right=True, new_hash=self._argon2.hash(password))
        return Verdict(is_right=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        # Counted under a lock because a future that ends does so on its worker's thread. A caller that went
        # away cancels what still waits, and its place is free again.
        with self._lock:
            self.check_room()
            self._pending += 1
        try:
            future = self._executor.submit(self._timed, work)
        except BaseException:
            self._release(None)
            raise
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _timed(self, work: Callable[[], Result]) -> Result:
        """Runs on a worker; several may lose an update to each other, which an estimate can bear."""
        began = time.monotonic()
        try:
            return work()
        finally:
            self._seconds_per_hash += (time.monotonic() - began - self._seconds_per_hash) / 8

    def _release(self, _future: Future[Result] | None) -> None:
        with self._lock:
            self._pending -= 1

    def _retry_after_ms(self) -> int:
        """Roughly the time until half the queue has drained, at the pace of late."""
        half = self._pending / 2 / self._limits.workers
        return max(1_000, round(1_000 * half * self._seconds_per_hash))


def _be_nice() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WORKER_NICENESS)
