"""verify does not trust the engine: events of a broken one, well formed and hashed, are noticed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from msgspec import structs

from db_service.verify import verify
from db_service.verify.report import Check
from engine import commands as c
from engine import fees, settlement
from engine.core import Applied, Engine
from engine.events import PositionAfter
from engine.state import Market, OrderType, Outcome, Position, Side, Verdict
from runtime.postgres import Connection
from tests.db_service.shard import ADMIN, ALICE, BOB, POINT, Shard
from tests.servers import Database


@pytest.fixture
async def shard(writer: Connection) -> Shard:
    """Alice and Bob with points."""
    shard = Shard(writer)
    await shard.grant(c.TREASURY_ID, 1_000_000)
    for user in (ALICE, BOB):
        await shard.grant(user, 10_000)
    return shard


async def minted(shard: Shard) -> str:
    """A market in which both hold ten sets."""
    market_id = await shard.market()
    for user in (ALICE, BOB):
        await shard.do(c.MintSets(market_id=market_id, actor_id=user, quantity_micros=10 * POINT))
    return market_id


async def broken(database: Database) -> set[Check]:
    return set((await verify(database.url_for("pm_db"))).broken())


async def test_a_share_that_moves_without_the_ledger(
    shard: Shard, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    market_id = await minted(shard)
    assert await broken(fresh_database) == set()
    right = Engine.apply

    def moves_a_share(engine: Engine, command: Any, *, now: int) -> Any:
        applied = right(engine, command, now=now)
        assert isinstance(applied, Applied)
        positions, effects = engine.state.markets[market_id].positions, applied.effects
        positions[BOB].yes -= POINT
        positions[ALICE].yes += POINT
        effects.users.append(BOB)
        effects.positions[:] = [
            *(structs.replace(position, yes=position.yes + POINT) for position in effects.positions),
            PositionAfter(len(effects.users) - 1, *positions[BOB].read()),
        ]
        return applied

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "apply", moves_a_share)
        await shard.do(c.MintSets(market_id=market_id, actor_id=ALICE, quantity_micros=3 * POINT))
    assert Check.EFFECTS in await broken(fresh_database)


async def test_half_a_fee(shard: Shard, fresh_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    market_id, right = await shard.market(), fees.buy_fee
    with monkeypatch.context() as patched:
        patched.setattr(fees, "buy_fee", lambda cost, bps: right(cost, bps) // 2)
        await shard.do(
            c.PlaceOrder(
                market_id=market_id,
                actor_id=ALICE,
                order_id=str(uuid4()),
                side=Side.BUY,
                outcome=Outcome.YES,
                type=OrderType.MARKET,
                amount_micros=10 * POINT,
                max_slippage_bps=10_000,
            )
        )
    assert await broken(fresh_database) == {Check.FEES}


async def test_a_winner_who_is_paid_nothing(
    shard: Shard, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    market_id, right = await minted(shard), settlement.payout_of

    def forgets_bob(market: Market, position: Position) -> int:
        return 0 if position.user_id == BOB else right(market, position)

    await shard.do(c.ResolveMarket(market_id=market_id, actor_id=ADMIN, outcome=Verdict.YES))
    with monkeypatch.context() as patched:
        patched.setattr(settlement, "payout_of", forgets_bob)
        await shard.do(c.PayHolders(market_id=market_id, actor_id=c.SYSTEM_ID, limit=100))
    assert Check.EFFECTS in await broken(fresh_database)
