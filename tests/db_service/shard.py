"""A shard in miniature: commands through the engine, events through the write path's statements, as pm_order."""

from __future__ import annotations

import time
from uuid import uuid4

import asyncpg
from msgspec import structs

from db_service.store import writes
from db_service.store.rows import StoredEvent
from engine import commands as c
from engine.core import Applied, Engine, payers, system_stream
from engine.events import Event, encode, hash_of
from engine.state import OrderType, Outcome, ShardState, Side, Verdict
from runtime.postgres import Connection

ADMIN = "00000000-0000-4000-8000-0000000000ad"
ALICE = "00000000-0000-4000-8000-00000000000a"
BOB = "00000000-0000-4000-8000-00000000000b"
POINT = 1_000_000


class Shard:
    """One writer; each command is its own transaction."""

    def __init__(self, connection: Connection, shard_id: int = 0) -> None:
        self._connection = connection
        self._id = shard_id
        self.state = ShardState()
        self.state.markets[c.system_stream_id(shard_id)] = system_stream(shard_id)
        self._engine = Engine(self.state)
        self._commit_seq = 0
        self._now = int(time.time() * 1_000_000)

    def later(self, micros: int) -> None:
        """Let time pass before the next command."""
        self._now += micros

    @property
    def now(self) -> int:
        """The time of the last event (micros)."""
        return self._now

    async def do(self, command: c.AnyCommand) -> Event:
        """Apply, write, and return the event. A refusal fails the test."""
        event = await self.tried(command)
        assert event is not None, command
        return event

    async def tried(self, command: c.AnyCommand) -> Event | None:
        """As `do`; None: refused, which leaves no trace."""
        self._now += 1_000
        async with self._connection.transaction():
            known = (await writes.read_moment(self._connection, payers(command), timeout=5)).balances
            self.state.accounts.clear()
            for user_id, balance in known.items():
                account = self.state.account(user_id)
                account.available, account.locked = balance.available, balance.locked
            applied = self._engine.apply(command, now=self._now)
            if not isinstance(applied, Applied):
                return None
            return await self._write(applied)

    async def _write(self, applied: Applied) -> Event:
        held = await writes.guard(
            self._connection,
            shard_id=self._id,
            epoch=0,
            expected=self._commit_seq,
            new=self._commit_seq + 1,
            last_event_time=applied.time,
            lease_seconds=5,
            timeout=5,
        )
        assert held
        self._commit_seq += 1
        effects = applied.effects
        locked = await writes.lock_accounts(self._connection, effects.users, timeout=5)
        for index, change in enumerate(effects.accounts):
            balance = locked[effects.users[change.user]]
            effects.accounts[index] = structs.replace(
                change,
                available_after=balance.available + change.available_delta,
                locked_after=balance.locked + change.locked_delta,
                user_seq=balance.user_seq + change.frames,
            )
        market = self.state.markets[applied.command.market_id].market
        event = Event(
            market_id=market.market_id,
            seq=applied.seq,
            shard=self._id,
            epoch=0,
            time=applied.time,
            command=applied.command,
            effects=effects,
            previous_hash=market.last_hash,
        )
        payload = encode(event)
        market.last_hash = hash_of(payload)
        stored = StoredEvent(event, self._commit_seq, payload.decode(), market.last_hash)
        key = writes.KeyRow(
            applied.command.actor_id, str(uuid4()), event.kind, "hash", event.market_id, event.seq
        )
        await writes.write_batch(self._connection, [stored], [key], timeout=5)
        self._engine.committed()
        return event

    async def grant(self, user_id: str, points: int) -> Event:
        """Points from nowhere."""
        return await self.do(
            c.GrantPoints(
                market_id=c.system_stream_id(self._id),
                actor_id=c.SYSTEM_ID,
                user_id=user_id,
                grant="SIGNUP",
                amount_micros=points * POINT,
            )
        )

    async def market(self, question: str = "Will it rain?", *, active: bool = True) -> str:
        """A new market at 0.5 with 600 Points."""
        market_id = str(uuid4())
        terms = c.MarketTerms(question=question, category="weather", liquidity_micros=600 * POINT)
        await self.do(c.CreateMarket(market_id=market_id, actor_id=ADMIN, terms=terms))
        if active:
            await self.do(c.ActivateMarket(market_id=market_id, actor_id=ADMIN))
        return market_id

    async def buy(
        self, market_id: str, user_id: str, outcome: Outcome, price_micros: int, shares: int
    ) -> str:
        """A limit BUY; returns the order's id."""
        order_id = str(uuid4())
        await self.do(
            c.PlaceOrder(
                market_id=market_id,
                actor_id=user_id,
                order_id=order_id,
                side=Side.BUY,
                outcome=outcome,
                type=OrderType.LIMIT,
                price_micros=price_micros,
                quantity_micros=shares * POINT,
            )
        )
        return order_id


async def played(connection: Connection) -> tuple[Shard, str]:
    """A market with trades on book and pool, a resting order, a mint; and one that was resolved and paid."""
    shard = Shard(connection)
    await shard.grant(c.TREASURY_ID, 1_000_000)
    for user_id in (ALICE, BOB):
        await shard.grant(user_id, 10_000)
    decided = await shard.market("Decided?")
    await shard.buy(decided, ALICE, Outcome.YES, 600_000, 20)
    await shard.do(c.ResolveMarket(market_id=decided, actor_id=ADMIN, outcome=Verdict.YES))
    for step in (c.ReleaseOrders, c.PayHolders):
        if step is c.PayHolders or shard.state.markets[decided].orders:
            await shard.do(step(market_id=decided, actor_id=c.SYSTEM_ID, limit=100))
    market_id = await shard.market()
    await shard.buy(market_id, BOB, Outcome.NO, 490_000, 40)
    await shard.buy(market_id, ALICE, Outcome.YES, 560_000, 100)
    await shard.buy(market_id, BOB, Outcome.NO, 300_000, 10)
    await shard.do(c.MintSets(market_id=market_id, actor_id=ALICE, quantity_micros=5 * POINT))
    return shard, market_id


async def connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection for a test."""
    return await asyncpg.connect(url)
