"""Who of a group reads: JetStream would give messages to all its readers in turn, so one of them holds a lease.

The lease is a key of a bucket whose keys vanish when they are not renewed. A holder that could not renew it in time, by
its own clock, gives it up before it can have passed to another.
"""

from __future__ import annotations

import time
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import (
    BucketNotFoundError,
    KeyDeletedError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NotFoundError,
)
from nats.js.kv import KeyValue

BUCKET: Final = "topic_readers"
LEASE_SECONDS: Final = 5.0


class Lease:
    """One reader's wish for, or hold of, its group's only place."""

    def __init__(self, stream: JetStreamContext, group: str, holder: str, seconds: float) -> None:
        self._stream = stream
        self._group = group
        self._holder = holder.encode()
        self._seconds = seconds
        self._revision = 0
        self._renewed_at = 0.0

    @property
    def renew_seconds(self) -> float:
        """How often `try_hold` should be called."""
        return self._seconds / 5

    def is_held(self) -> bool:
        """Ours, and surely still ours for a moment."""
        return bool(self._revision) and time.monotonic() - self._renewed_at < self._seconds * 0.8

    async def try_hold(self) -> bool:
        """Take or renew it; False: another holds it. Raises what NATS raises when it is away."""
        asked_at = time.monotonic()
        bucket = await self._bucket()
        try:
            if self._revision:
                self._revision = await bucket.update(self._group, self._holder, last=self._revision)
            else:
                self._revision = await bucket.create(self._group, self._holder)
        except KeyWrongLastSequenceError:
            self._revision = 0
            return False
        self._renewed_at = asked_at
        return True

    async def give_up(self) -> None:
        """Let others have it at once."""
        revision, self._revision = self._revision, 0
        if revision:
            await (await self._bucket()).delete(self._group, last=revision)

    async def _bucket(self) -> KeyValue:
        return await open_bucket(self._stream, self._seconds)


async def open_bucket(stream: JetStreamContext, seconds: float) -> KeyValue:
    """The bucket of all groups' leases; made when it is not there."""
    try:
        return await stream.key_value(BUCKET)
    except BucketNotFoundError:
        return await stream.create_key_value(
            KeyValueConfig(bucket=BUCKET, ttl=seconds, storage=StorageType.MEMORY)
        )


async def has_holder(stream: JetStreamContext, group: str) -> bool:
    """Whether somebody reads for the group now."""
    try:
        await (await stream.key_value(BUCKET)).get(group)
    except (BucketNotFoundError, KeyNotFoundError, KeyDeletedError, NotFoundError):
        return False
    return True
