"""From a command to the shard that owns its market, and from its answer to a value or an ApiError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db_service.store import loading
from db_service.store.shown import refused
from engine.commands import AnyCommand
from engine.refusals import Refusal
from engine.state import MarketState, MarketStatus, Order, ShardState
from order_service.requests import Answer, Audit, Done, KeyReused, Request, Seen, hash_of_request, keys_of
from order_service.shard import Shard
from order_service.watchers import Watchers
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.ids import uuid7
from runtime.postgres import Pool

Look = Callable[[ShardState], Any]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A command in a shard's inbox."""

    shard: Shard
    answer: asyncio.Future[Answer]


class Router:
    """Knows the shards this process owns just now; everybody else's come from PostgreSQL."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self.pool = pool
        self.clock = clock
        self.owned: dict[int, Shard] = {}
        self.watchers = Watchers()

    def new_id(self) -> str:
        return uuid7(self.clock.now_micros())

    async def shard_of(self, market_id: str, *, hidden_too: bool = False) -> Shard:
        """The owned shard of a market. Raises MARKET_NOT_FOUND or NOT_SHARD_OWNER. That another process owns a market
        which the public does not know is only told if `hidden_too`; here whoever asks it judges for himself."""
        for shard in self.owned.values():
            if market_id in shard.state.markets:
                return shard
        shard_id = await loading.shard_of_market(self.pool, market_id, hidden_too=hidden_too)
        if shard_id is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        if shard_id in self.owned:
            return self.owned[shard_id]
        raise await self.not_owner(shard_id)

    async def any_shard(self) -> Shard:
        """For what may live on any shard: the lowest one owned here."""
        if self.owned:
            return self.owned[min(self.owned)]
        raise await self.not_owner(0)

    async def roomiest_shard(self) -> Shard:
        """For a new market: the owned shard with the fewest."""
        if self.owned:
            return min(self.owned.values(), key=lambda shard: (len(shard.state.markets), shard.shard_id))
        raise await self.not_owner(0)

    async def not_owner(self, shard_id: int) -> ApiError:
        """NOT_SHARD_OWNER with the owner's name and address, as far as known."""
        for row in await loading.shard_owners(self.pool):
            if row.shard_id == shard_id:
                return ApiError(
                    ErrorCode.NOT_SHARD_OWNER,
                    shard=shard_id,
                    owner=row.owner or "",
                    address=row.address or "",
                )
        return ApiError(ErrorCode.NOT_SHARD_OWNER, shard=shard_id)

    async def market_of_order(self, order_id: str, market_id: str, user_id: str) -> str:
        """Resolves a call that names only an order. Raises ORDER_NOT_FOUND, also for another's."""
        if market_id:
            return market_id
        found = await loading.market_of_order(self.pool, order_id, user_id)
        if found is None:
            raise ApiError(ErrorCode.ORDER_NOT_FOUND)
        return found

    async def order_identity(self, order_id: str) -> Order:
        """An order's row, open or ended. Raises ORDER_NOT_FOUND."""
        orders = await loading.load_orders(self.pool, [order_id])
        if not orders:
            raise ApiError(ErrorCode.ORDER_NOT_FOUND)
        return orders[0]

    def submit(
        self,
        shard: Shard,
        command: AnyCommand,
        *,
        key: str = "",
        key_owner: str = "",
        dry_run: bool = False,
        look: Look | None = None,
        audit: Audit | None = None,
    ) -> Submitted:
        """Into the inbox at once, so that the order of calls is the order of commands. Raises OVERLOADED."""
        request = Request(
            answer=asyncio.get_running_loop().create_future(),
            command=command,
            look=look,
            keys=() if dry_run else keys_of(command, key),
            key_owner=key_owner or command.actor_id,
            request_hash=hash_of_request(command),
            dry_run=dry_run,
            audit=None if dry_run else audit,
        )
        return Submitted(shard, shard.submit(request))

    async def done(self, submitted: Submitted) -> Done:
        """Waits for durability. Raises ApiError for every no."""
        answer = await self._answer(submitted)
        if isinstance(answer, Refusal):
            raise refused(answer)
        if isinstance(answer, KeyReused):
            raise ApiError(ErrorCode.IDEMPOTENCY_KEY_REUSED, idempotency_key=answer.key)
        assert isinstance(answer, Done)
        return answer

    async def read(
        self, market_id: str, look: Callable[[MarketState], Any], *, hidden_too: bool = False
    ) -> Any:
        """What `look` returns from the live market, true for durable state; unless `hidden_too`, one that the public
        knows of. Raises MARKET_NOT_FOUND."""
        shard = await self.shard_of(market_id, hidden_too=hidden_too)

        def at_market(state: ShardState) -> Any:
            market = state.markets.get(market_id)
            if market is None or (_is_hidden(market) and not hidden_too):
                return None
            return look(market)

        value = await self.read_shard(shard, at_market)
        if value is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        if isinstance(value, ApiError):
            raise value
        return value

    async def read_shard(self, shard: Shard, look: Look) -> Any:
        """What `look` returns from the shard's live state, true for durable state."""
        request = Request(answer=asyncio.get_running_loop().create_future(), look=look)
        answer = await self._answer(Submitted(shard, shard.submit(request)))
        assert isinstance(answer, Seen)
        return answer.value

    async def _answer(self, submitted: Submitted) -> Answer:
        try:
            return await submitted.answer
        except ApiError as error:
            if error.code is ErrorCode.NOT_SHARD_OWNER and not error.details:
                raise await self.not_owner(submitted.shard.shard_id) from None
            raise


def _is_hidden(state: MarketState) -> bool:
    """A DRAFT or a withdrawn one; and a system stream is no market at all."""
    market = state.market
    return market.status is MarketStatus.DRAFT or market.reason == "DELETED" or not market.question
