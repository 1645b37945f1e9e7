"""Rate limits of those who call this service directly. Calls of the gateway prove that it has counted them already."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError
from runtime.rate_policy import Bucket, Caller, RateGate, is_counted
from runtime.surprises import as_api_error
from runtime.tokens import Identity

SERVICE = "service"
Work = tuple[Caller, Bucket]


class CallerLimits:
    """`gateway_secret` is what the gateway proves itself with; empty: nobody can."""

    def __init__(self, gate: RateGate, gateway_secret: str) -> None:
        self._gate = gate
        self._gateway_secret = gateway_secret

    async def require(self, context: Any, identity: Identity, bucket: Bucket) -> None:
        """Counts one call. Raises RATE_LIMITED, or UNAVAILABLE where it cannot be counted and moves money."""
        if not self.is_exempt(context, identity):
            await self._gate.require(bucket, Caller.of(identity))

    def is_exempt(self, context: Any, caller: Identity) -> bool:
        """Our own services', and what the gateway has counted."""
        return caller.role == SERVICE or is_counted(context, self._gateway_secret)

    async def refusals(self, works: Sequence[Work]) -> Mapping[Work, ApiError]:
        """Counts many items: those of one caller and bucket are admitted together or not at all."""
        counts = Counter(works)
        answers = await asyncio.gather(
            *(self._gate.require(bucket, caller, cost) for (caller, bucket), cost in counts.items()),
            return_exceptions=True,
        )
        return {
            work: as_api_error(answer)
            for work, answer in zip(counts, answers, strict=True)
            if isinstance(answer, BaseException)
        }


def bucket_of(command: order_pb2.OrderCommand) -> Bucket:
    """Of an item of a batch or a stream."""
    which = command.WhichOneof("command")
    if which == "cancel":
        return Bucket.CANCELS
    return bucket_of_order(command.place) if which == "place" else Bucket.TRADES


def bucket_of_order(request: order_pb2.PlaceOrderRequest) -> Bucket:
    """A quote is a read."""
    return Bucket.PUBLIC if request.dry_run else Bucket.TRADES
