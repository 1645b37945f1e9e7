"""UserOrdersService: the open orders of somebody who may no longer trade."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from engine import commands as c
from engine.state import ShardState
from order_service import parse
from order_service.routing import Router
from order_service.shard import Shard
from predmarket.order.v1 import order_pb2
from runtime.credentials import Subject, TokenChange
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from runtime.tokens import LIFETIME_MAX_SECONDS, TokenVerifier

log = get_logger(__name__)

REASON: Final = "USER_MAY_NOT_TRADE"
MARKETS_AT_ONCE: Final = 50
"""Markets cancelled side by side; the shard puts them into one batch, and others' commands come in between."""


class UserOrdersServicer:
    """Asked by auth_service when it suspends somebody."""

    def __init__(self, router: Router, verifier: TokenVerifier) -> None:
        self._router = router
        self._verifier = verifier

    async def CancelOrdersOfUser(
        self, request: order_pb2.CancelOrdersOfUserRequest, context: Any
    ) -> order_pb2.CancelOrdersOfUserResponse:
        caller = await self._verifier.caller(context)
        caller.require("service")
        user_id = parse.an_id("user_id", request.user_id)
        # First the tokens, then the orders: what they still placed is in the inbox before the cancels.
        self._refuse_tokens(user_id, request.minimum_version)
        shards = tuple(self._router.owned.values())
        outcomes = await asyncio.gather(*(self._cancel(shard, user_id, caller.user_id) for shard in shards))
        done = {
            shard.shard_id: cancelled
            for shard, cancelled in zip(shards, outcomes, strict=True)
            if cancelled is not None
        }
        return order_pb2.CancelOrdersOfUserResponse(shards=sorted(done), orders_cancelled=sum(done.values()))

    def _refuse_tokens(self, user_id: str, minimum_version: int) -> None:
        until = self._router.clock.now_micros() + LIFETIME_MAX_SECONDS * 1_000_000
        self._verifier.changes.apply(TokenChange(Subject.USER, user_id, minimum_version, until))

    async def _cancel(self, shard: Shard, user_id: str, actor_id: str) -> int | None:
        """How many orders; None when the shard was lost on the way."""
        cancelled = 0
        try:
            while market_ids := await self._router.read_shard(shard, _markets_with_orders_of(user_id)):
                submitted = [
                    self._router.submit(
                        shard,
                        c.CancelAllOrders(
                            market_id=market_id, actor_id=actor_id, user_id=user_id, reason=REASON
                        ),
                    )
                    for market_id in market_ids
                ]
                for answer in [await self._router.done(each) for each in submitted]:
                    cancelled += len(answer.event.effects.orders)
        except ApiError as error:
            if error.code is not ErrorCode.NOT_SHARD_OWNER:
                raise
            log.info("a shard was lost while orders were cancelled", shard=shard.shard_id)
            return None
        return cancelled


def _markets_with_orders_of(user_id: str) -> Any:
    def look(state: ShardState) -> list[str]:
        found = (market_id for market_id, market in state.markets.items() if market.open_by_user.get(user_id))
        return [market_id for market_id, _ in zip(found, range(MARKETS_AT_ONCE), strict=False)]

    return look
