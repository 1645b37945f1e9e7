"""MarketAdminService, PointsService and ShardService."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from db_service.store import loading
from db_service.store.shown import market_message
from engine import commands as c
from engine.events import Event
from engine.replay import market_values
from engine.settlement import payout_of, unpaid_holders
from engine.state import Market, MarketState, ShardState
from order_service import parse
from order_service.access import admin, is_admin
from order_service.limits import CallerLimits
from order_service.requests import Audit, Before, Done
from order_service.routing import Router
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.rate_policy import Bucket
from runtime.tokens import Identity, TokenVerifier
from runtime.tracing import current_trace_id

PAYOUTS_SHOWN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Glimpse:
    """What an admin's answer tells beyond its event."""

    market: Market
    positions: tuple[Any, ...]
    open_orders: int
    holders: int


class MarketAdminServicer:
    """Admins only; every accepted command leaves an audit row in its own transaction."""

    def __init__(self, router: Router, verifier: TokenVerifier, limits: CallerLimits) -> None:
        self._router = router
        self._verifier = verifier
        self._limits = limits

    async def CreateMarket(
        self, request: order_pb2.CreateMarketRequest, context: Any
    ) -> order_pb2.CreateMarketResponse:
        caller = await self._admin(context)
        key = parse.a_key(request.idempotency_key)
        market_id = self._router.new_id()
        command = c.CreateMarket(
            market_id=market_id, actor_id=caller.user_id, terms=parse.terms(request.terms)
        )
        shard = await self._router.roomiest_shard()
        audit = _audit("CREATE_MARKET", "")
        done = await self._router.done(self._router.submit(shard, command, key=key, audit=audit))
        after = done.event.effects.market
        assert after is not None
        values = market_values(after, command.terms)
        market = Market(done.event.market_id, caller.user_id, done.event.time, values)
        return order_pb2.CreateMarketResponse(market=_market(market, done.event), replayed=done.replayed)

    async def EditMarket(
        self, request: order_pb2.EditMarketRequest, context: Any
    ) -> order_pb2.EditMarketResponse:
        caller = await self._admin(context)
        command = c.EditMarket(**_who(request, caller), terms=parse.terms(request.terms))
        market, done, _ = await self._do(command, request)
        return order_pb2.EditMarketResponse(market=market, replayed=done.replayed)

    async def DeleteMarket(
        self, request: order_pb2.DeleteMarketRequest, context: Any
    ) -> order_pb2.DeleteMarketResponse:
        caller = await self._admin(context)
        _, done, _ = await self._do(c.DeleteMarket(**_who(request, caller)), request)
        return order_pb2.DeleteMarketResponse(replayed=done.replayed)

    async def ActivateMarket(
        self, request: order_pb2.ActivateMarketRequest, context: Any
    ) -> order_pb2.ActivateMarketResponse:
        caller = await self._admin(context)
        market, done, _ = await self._do(c.ActivateMarket(**_who(request, caller)), request, request.dry_run)
        return order_pb2.ActivateMarketResponse(market=market, replayed=done.replayed)

    async def PauseMarket(
        self, request: order_pb2.PauseMarketRequest, context: Any
    ) -> order_pb2.PauseMarketResponse:
        caller = await self._admin(context)
        market, done, _ = await self._do(c.PauseMarket(**_who(request, caller)), request, request.dry_run)
        return order_pb2.PauseMarketResponse(market=market, replayed=done.replayed)

    async def ResumeMarket(
        self, request: order_pb2.ResumeMarketRequest, context: Any
    ) -> order_pb2.ResumeMarketResponse:
        caller = await self._admin(context)
        market, done, _ = await self._do(c.ResumeMarket(**_who(request, caller)), request, request.dry_run)
        return order_pb2.ResumeMarketResponse(market=market, replayed=done.replayed)

    async def ResolveMarket(
        self, request: order_pb2.ResolveMarketRequest, context: Any
    ) -> order_pb2.ResolveMarketResponse:
        caller = await self._admin(context)
        command = c.ResolveMarket(
            **_who(request, caller),
            outcome=parse.verdict(request.outcome),
            reason=parse.a_reason(request.reason),
        )
        market, done, seen = await self._do(command, request, request.dry_run, request.reason)
        settlement = _settlement(done, seen)
        return order_pb2.ResolveMarketResponse(market=market, settlement=settlement, replayed=done.replayed)

    async def CancelMarket(
        self, request: order_pb2.CancelMarketRequest, context: Any
    ) -> order_pb2.CancelMarketResponse:
        caller = await self._admin(context)
        command = c.CancelMarket(
            **_who(request, caller), pro_rata=request.pro_rata, reason=parse.a_reason(request.reason)
        )
        market, done, seen = await self._do(command, request, request.dry_run, request.reason)
        settlement = _settlement(done, seen)
        return order_pb2.CancelMarketResponse(market=market, settlement=settlement, replayed=done.replayed)

    async def SweepMarket(
        self, request: order_pb2.SweepMarketRequest, context: Any
    ) -> order_pb2.SweepMarketResponse:
        caller = await self._admin(context)
        _, done, _ = await self._do(c.SweepMarket(**_who(request, caller)), request)
        swept = sum(change.available_delta for change in done.event.effects.accounts)
        return order_pb2.SweepMarketResponse(swept_micros=swept, seq=done.event.seq, replayed=done.replayed)

    async def _admin(self, context: Any) -> Identity:
        caller = await admin(self._verifier, context)
        await self._limits.require(context, caller, Bucket.ADMIN)
        return caller

    async def _do(
        self, command: c.AnyCommand, request: Any, dry_run: bool = False, reason: str = ""
    ) -> tuple[common_pb2.Market, Done, _Glimpse]:
        key = parse.a_key(request.idempotency_key)
        shard = await self._router.shard_of(command.market_id, hidden_too=True)
        done = await self._router.done(
            self._router.submit(
                shard,
                command,
                key=key,
                dry_run=dry_run,
                look=_look(command.market_id),
                audit=_audit(str(command.__struct_config__.tag), reason),
            )
        )
        assert isinstance(done.context, Before)
        seen: _Glimpse = done.context.before
        market = copy.copy(seen.market)
        if done.event.effects.market is not None:
            market.restore(market_values(done.event.effects.market, market))
        return _market(market, done.event), done, seen


def _look(market_id: str) -> Any:
    def look(state: ShardState) -> _Glimpse | None:
        found: MarketState | None = state.markets.get(market_id)
        if found is None:
            return None
        positions = tuple(copy.copy(found.positions[user]) for user in unpaid_holders(found))
        return _Glimpse(copy.copy(found.market), positions, len(found.orders), len(positions))

    return look


def _market(market: Market, event: Event) -> common_pb2.Market:
    return market_message(market, seq=event.seq, shard=event.shard, epoch=event.epoch)


def _who(request: Any, caller: Identity) -> dict[str, str]:
    return {"market_id": parse.an_id("market_id", request.market_id), "actor_id": caller.user_id}


def _audit(action: str, reason: str, target: str = "") -> Audit:
    return Audit(action=action, target=target, reason=reason, trace_id=current_trace_id())


def _settlement(done: Done, seen: _Glimpse) -> order_pb2.Settlement:
    """The totals; for a dry run also every payout, largest first."""
    after = done.event.effects.market
    assert after is not None
    decided = copy.copy(seen.market)
    decided.restore(market_values(after, decided))
    payouts = []
    if done.dry_run:
        payouts = [
            order_pb2.Payout(
                user_id=position.user_id,
                points_micros=payout_of(decided, position),
                yes_micros=position.yes,
                no_micros=position.no,
                basis_micros=position.basis_yes + position.basis_no,
            )
            for position in seen.positions
        ]
        payouts.sort(key=lambda payout: (-payout.points_micros, payout.user_id))
    house = after.collateral + after.vault + after.treasury_points + after.pending
    return order_pb2.Settlement(
        owed_micros=after.owed,
        payable_micros=after.payable,
        holders=seen.holders,
        open_orders=seen.open_orders,
        shortfall_micros=after.owed - after.payable,
        remainder_micros=max(0, house - after.payable),
        payouts=payouts[:PAYOUTS_SHOWN_MAX],
    )


class PointsServicer:
    """Grants, on the system stream of a shard owned here."""

    def __init__(self, router: Router, verifier: TokenVerifier, limits: CallerLimits) -> None:
        self._router = router
        self._verifier = verifier
        self._limits = limits

    async def GrantPoints(
        self, request: order_pb2.GrantPointsRequest, context: Any
    ) -> order_pb2.GrantPointsResponse:
        caller = await self._verifier.caller(context)
        caller.require("admin", "service")
        caller.require_person()
        await self._limits.require(context, caller, Bucket.ADMIN)
        if not request.idempotency_key:
            raise parse.bad_field("idempotency_key", "is needed")
        by_service = caller.role == "service"
        key = request.idempotency_key if by_service else parse.a_key(request.idempotency_key)
        parse.a_text("idempotency_key", key, 200)
        if not by_service and request.user_id == caller.user_id:
            raise ApiError(ErrorCode.FORBIDDEN, "nobody grants points to himself")
        shard = await self._router.any_shard()
        command = parse.grant(
            request, actor_id=caller.user_id, market_id=c.system_stream_id(shard.shard_id), role=caller.role
        )
        done = await self._router.done(
            self._router.submit(
                shard,
                command,
                key=key,
                key_owner=request.user_id if by_service else caller.user_id,
                audit=None if by_service else _audit("GRANT_POINTS", request.reason, request.user_id),
            )
        )
        effects = done.event.effects
        available = next(
            change.available_after
            for change in effects.accounts
            if effects.users[change.user] == request.user_id
        )
        return order_pb2.GrantPointsResponse(
            seq=done.event.seq, available_micros=available, replayed=done.replayed
        )


class ShardServicer:
    """Who owns what; anybody may ask, of markets that he may know of."""

    def __init__(self, router: Router, verifier: TokenVerifier) -> None:
        self._router = router
        self._verifier = verifier

    async def ListShards(
        self, request: order_pb2.ListShardsRequest, context: Any
    ) -> order_pb2.ListShardsResponse:
        market_shard = -1
        if request.market_id:
            market_id = parse.an_id("market_id", request.market_id)
            hidden_too = await is_admin(self._verifier, context)
            found = await loading.shard_of_market(self._router.pool, market_id, hidden_too=hidden_too)
            if found is None:
                raise ApiError(ErrorCode.MARKET_NOT_FOUND)
            market_shard = found
        rows = await loading.shard_owners(self._router.pool)
        shards = [
            order_pb2.Shard(shard=row.shard_id, owner=row.owner, address=row.address, epoch=row.epoch)
            for row in rows
        ]
        return order_pb2.ListShardsResponse(shards=shards, market_shard=market_shard)
