"""The usual design on real PostgreSQL: one optimistic transaction per trade, on one hot market.

It writes the row set our write path writes (market, account, position, order, fill, trade, ledger, event,
idempotency), with prepared statements, and tries again when somebody else's trade came first. Two forms: a statement
per table between BEGIN and COMMIT, and everything as one statement.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from statistics import quantiles
from typing import Any

import asyncpg
import uvloop

from bench import optimistic_sql as sql
from bench import servers
from bench.report import Arm, BenchError, Section, together
from engine import pool
from engine.units import BASIS_POINTS, MICROS, ceil_div
from runtime.postgres import Connection

CONNECTIONS = (1, 8, 32)
USERS = 1_000
LIQUIDITY_MICROS = 10**11
AMOUNT_MICROS = MICROS
BALANCE_MICROS = 10**14
PAYLOAD_CHARACTERS = 1_300
"""About what the event of such a trade takes; it is filled with figures, so that it does not compress to nothing."""
MARKET_ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
PAUSE_SECONDS = 0.001
ATTEMPTS_MAX = 10_000

Trade = Mapping[str, Any]
Write = Callable[[Trade], Awaitable[bool]]


@dataclass(slots=True)
class Tally:
    """What the workers did while it was measured."""

    seconds: list[float] = field(default_factory=list)
    retries: int = 0

    def figures(self, elapsed: float) -> Mapping[str, float]:
        if len(self.seconds) < 2:
            raise BenchError("fewer than two trades were made")
        cuts = quantiles(self.seconds, n=100)
        return {
            "trades/s": len(self.seconds) / elapsed,
            "p50 ms": cuts[49] * 1e3,
            "p99 ms": cuts[98] * 1e3,
            "retries": self.retries / len(self.seconds),
        }


@contextmanager
def arms(server_url: str, seconds: float) -> Iterator[Sequence[Arm]]:
    """Six arms: two forms at three numbers of connections, on a market of their own in this migrated database."""
    asyncio.run(_seed(server_url))
    yield [
        Arm(
            f"optimistic, {form}, {count} conn.",
            partial(_measure, server_url, count, seconds, form == "one statement"),
        )
        for form in ("one statement", "BEGIN..COMMIT")
        for count in CONNECTIONS
    ]


@contextmanager
def _own_server(seconds: float) -> Iterator[Sequence[Arm]]:
    with servers.folder() as where, servers.postgres(where) as server:
        servers.make_database(server, "rival")
        with arms(server.url_for("rival", "postgres"), seconds) as made:
            yield made


def section(quick: bool) -> Section:
    return Section(
        title="The usual design alone",
        note="One optimistic transaction per trade on one hot market, the same rows as ours, fsync on.",
        metrics=("trades/s", "p50 ms", "p99 ms", "retries"),
        ours=(),
        arms=_own_server(1.0 if quick else 5.0),
    )


def _measure(url: str, connections: int, seconds: float, at_once: bool) -> Mapping[str, float]:
    return uvloop.run(_compete(url, connections, seconds, at_once))


async def _compete(url: str, count: int, seconds: float, at_once: bool) -> Mapping[str, float]:
    connections: list[Connection] = [await asyncpg.connect(url) for _ in range(count)]
    try:
        traders = [await Trader.prepared(connection, at_once) for connection in connections]
        warm_up, tally = Tally(), Tally()
        await _all_until(traders, warm_up, time.perf_counter() + seconds / 5)
        started = time.perf_counter()
        await _all_until(traders, tally, started + seconds)
        elapsed = time.perf_counter() - started
        await _check(connections[0])
        return tally.figures(elapsed)
    finally:
        for connection in connections:
            await connection.close()


async def _check(connection: Connection) -> None:
    """Every trade of the market left all its rows, and on a durable server."""
    row = await connection.fetchrow(
        """
        SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on' AS durable,
            seq - 1 AS trades, (SELECT count(*) FROM events WHERE market_id = $1) AS events,
            (SELECT count(*) FROM trade_ledger WHERE market_id = $1) AS ledger,
            (SELECT count(*) FROM idempotency WHERE market_id = $1) AS keys
        FROM markets WHERE market_id = $1
        """,
        MARKET_ID,
    )
    if row is None or not row["durable"]:
        raise BenchError("the rival's server is not durable")
    if not row["trades"] == row["events"] == row["keys"] == row["ledger"] / 2:
        raise BenchError(f"the rival lost rows: {dict(row)}")


async def _all_until(traders: Sequence[Trader], tally: Tally, end: float) -> None:
    await together([trader.work(tally, end) for trader in traders])


@dataclass(slots=True)
class Trader:
    """One connection with its prepared statements."""

    connection: Connection
    read: Any
    writes: Sequence[tuple[Any, tuple[str, ...]]]
    at_once: bool

    @classmethod
    async def prepared(cls, connection: Connection, at_once: bool) -> Trader:
        statements = (sql.single(),) if at_once else sql.separate()
        writes = [(await connection.prepare(made.text), made.names) for made in statements]
        read = sql.compiled(sql.READ)
        assert read.names == ("user_id", "key", "market_id"), "as work passes them"
        return cls(connection, await connection.prepare(read.text), writes, at_once)

    async def work(self, tally: Tally, end: float) -> None:
        """Trade after trade; each until it is committed."""
        while time.perf_counter() < end:
            user_id, key = _user(random.randrange(USERS)), f"key-{uuid.uuid4()}"
            outcome = random.choice(("YES", "NO"))
            started = time.perf_counter()
            for attempt in range(ATTEMPTS_MAX):
                row = await self.read.fetchrow(user_id, key, MARKET_ID)
                if row is None or row["seen"]:
                    raise BenchError("the market or the account is not there, or the key was used")
                if await self._write(trade_of(row, user_id, key, outcome)):
                    break
                tally.retries += 1
                await asyncio.sleep(random.random() * PAUSE_SECONDS * min(attempt, 8))
            else:
                raise BenchError(f"a trade was not committed in {ATTEMPTS_MAX} attempts")
            tally.seconds.append(time.perf_counter() - started)

    async def _write(self, trade: Trade) -> bool:
        """False: another trade came first; nothing was written."""
        if self.at_once:
            statement, names = self.writes[0]
            return bool(await statement.fetchval(*(trade[name] for name in names)))
        transaction = self.connection.transaction()
        await transaction.start()
        for index, (statement, names) in enumerate(self.writes):
            await statement.fetch(*(trade[name] for name in names))
            if index == 0 and statement.get_statusmsg() != "UPDATE 1":
                await transaction.rollback()
                return False
        await transaction.commit()
        return True


def trade_of(row: Mapping[str, Any], user_id: uuid.UUID, key: str, outcome: str) -> Trade:
    """A market order of one Point against the pool, computed on what was read."""
    is_yes = outcome == "YES"
    reserves = pool.Reserves(row["pool_yes_micros"], row["pool_no_micros"])
    if not is_yes:
        reserves = pool.Reserves(reserves.other, reserves.acquired)
    fee = ceil_div(AMOUNT_MICROS * row["fee_bps"], BASIS_POINTS + row["fee_bps"])
    cost = AMOUNT_MICROS - fee
    shares = pool.shares_for(reserves, cost)
    after = pool.after_spending(reserves, cost)
    payload = (uuid.uuid4().hex * (PAYLOAD_CHARACTERS // 32 + 1))[:PAYLOAD_CHARACTERS]
    digest = sha256(payload.encode()).hexdigest()
    return {
        "market_id": MARKET_ID,
        "user_id": user_id,
        "key": key,
        "request_hash": digest,
        "hash": digest,
        "payload": payload,
        "seq_before": row["seq"],
        "seq": row["seq"] + 1,
        "pool_yes": after.acquired if is_yes else after.other,
        "pool_no": after.other if is_yes else after.acquired,
        "amount": AMOUNT_MICROS,
        "cost": cost,
        "fee": fee,
        "shares": shares,
        "price": ceil_div(cost * MICROS, shares),
        "yes": shares if is_yes else 0,
        "no": 0 if is_yes else shares,
        "basis_yes": AMOUNT_MICROS if is_yes else 0,
        "basis_no": 0 if is_yes else AMOUNT_MICROS,
        "balance_after": row["available_micros"] - AMOUNT_MICROS,
        "outcome": outcome,
        "order_id": uuid.uuid4(),
        "trade_id": uuid.uuid4(),
        "time": time.time_ns() // 1_000,
    }


def _user(number: int) -> uuid.UUID:
    return uuid.UUID(f"00000003-0000-4000-8000-{number:012d}")


async def _seed(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO accounts (user_id, available_micros) SELECT unnest($1::uuid[]), $2::bigint",
            [_user(number) for number in range(USERS)],
            BALANCE_MICROS,
        )
        await connection.execute(
            """
            INSERT INTO markets SELECT $1, 0, $1, 1, 1, repeat('0', 64), 0, 'Hot?', '', '', '', '', 10000, 200,
                $2::bigint, 500000, 0, 0, 'ACTIVE', '', '', $2, $2, $2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 1
            """,
            MARKET_ID,
            LIQUIDITY_MICROS,
        )
    finally:
        await connection.close()
