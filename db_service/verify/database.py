"""The whole database, at one moment."""

from __future__ import annotations

from db_service.verify.market import MarketCheck
from db_service.verify.report import Check, Report
from db_service.verify.users import Users
from runtime.postgres import Connection, connect

STATEMENT_SECONDS = 600.0


async def verify(database_url: str) -> Report:
    """Checks everything, while others write: it sees one moment. Needs rights to read (pm_db)."""
    connection = await connect(
        database_url, name="verify", command_timeout_seconds=STATEMENT_SECONDS, wait=False
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _verify(connection)
    finally:
        await connection.close()


async def _verify(connection: Connection) -> Report:
    report = Report()
    users = Users(report)
    markets = await connection.fetch(
        "SELECT market_id FROM events UNION SELECT market_id FROM markets UNION"
        " SELECT market_id FROM system_streams UNION SELECT market_id FROM positions UNION"
        " SELECT market_id FROM orders UNION SELECT market_id FROM fills UNION SELECT market_id FROM trades UNION"
        " SELECT market_id FROM trade_ledger ORDER BY market_id"
    )
    complete = True
    for row in markets:
        before = len(report.broken())
        state = await MarketCheck(connection, report, users, str(row["market_id"])).run()
        if state is not None:
            users.add_market(state)
        elif len(report.broken()) > before:
            complete = False
    await users.finish(connection, complete=complete)
    await _shards(connection, report)
    await _issuance(connection, report)
    await _keys(connection, report)
    return report


async def _shards(connection: Connection, report: Report) -> None:
    rows = await connection.fetch(
        "SELECT s.shard_id, s.commit_seq, count(e.seq) AS events, coalesce(min(e.commit_seq), 1) AS first,"
        " coalesce(max(e.commit_seq), 0) AS last, coalesce(max(e.time), 0) AS last_time, s.last_event_time,"
        " coalesce(max(e.epoch), 0) AS last_epoch, s.epoch"
        " FROM shards s LEFT JOIN events e USING (shard_id) GROUP BY s.shard_id ORDER BY s.shard_id"
    )
    for row in rows:
        shard, events = f"shard {row['shard_id']}", row["events"]
        whole = row["first"] == 1 and row["last"] == events == row["commit_seq"]
        words = (
            f"{shard}: {events} events numbered {row['first']}..{row['last']}, commit_seq {row['commit_seq']}"
        )
        report.expect(Check.COMMIT_SEQ, whole, words)
        in_time = row["last_time"] <= row["last_event_time"] and row["last_epoch"] <= row["epoch"]
        report.expect(Check.COMMIT_SEQ, in_time, f"{shard}: an event is later than the shard")
    strays = await connection.fetch(
        "SELECT DISTINCT e.market_id FROM events e LEFT JOIN markets m USING (market_id)"
        " LEFT JOIN system_streams s USING (market_id)"
        " WHERE e.shard_id IS DISTINCT FROM coalesce(m.shard_id, s.shard_id)"
    )
    for row in strays:
        report.expect(Check.COMMIT_SEQ, False, f"market {row['market_id']}: events of another shard")
    cursors = await connection.fetch(
        "SELECT c.shard_id, c.target, c.commit_seq <= s.commit_seq AS behind"
        " FROM relay_cursors c JOIN shards s USING (shard_id)"
    )
    for row in cursors:
        words = f"shard {row['shard_id']}: the cursor of {row['target']} is ahead"
        report.expect(Check.COMMIT_SEQ, row["behind"], words)


async def _issuance(connection: Connection, report: Report) -> None:
    """The sum of all grants, which has a maximum, is what the system streams issued."""
    row = await connection.fetchrow(
        "SELECT i.granted_micros, coalesce((SELECT sum(-l.points_micros) FROM trade_ledger l"
        " JOIN system_streams USING (market_id) WHERE l.user_id IS NULL), 0)::bigint AS issued FROM issuance i"
    )
    assert row is not None, "the migrations made the row"
    words = f"granted {row['granted_micros']}, issued {row['issued']}"
    report.expect(Check.ISSUANCE, row["granted_micros"] == row["issued"], words)


async def _keys(connection: Connection, report: Report) -> None:
    count = await connection.fetchval("SELECT count(*) FROM idempotency")
    report.results[Check.KEYS].looked_at += count
    lost = await connection.fetch(
        "SELECT user_id, key FROM idempotency i WHERE NOT EXISTS"
        " (SELECT FROM events e WHERE e.market_id = i.market_id AND e.seq = i.seq AND e.kind = i.operation"
        # the key of a first grant is its receiver's, whoever asked for it
        " AND (e.actor_id = i.user_id OR starts_with(i.key, 'grant:')))"
    )
    for row in lost:
        words = f"key {row['key']!r} of user {row['user_id']} names no such event"
        report.expect(Check.KEYS, False, words)
