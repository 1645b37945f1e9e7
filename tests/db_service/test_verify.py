"""verify finds nothing on what the write path wrote, and finds every kind of tampered row."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from db_service.replay import replay
from db_service.verify import verify
from db_service.verify.report import Check
from runtime.postgres import Connection
from tests.db_service.shard import played
from tests.servers import Database

ROOT = Path(__file__).parents[2]

TAMPERED = [
    (Check.SEQ, "DELETE FROM events WHERE kind = 'MINT_SETS'; DELETE FROM events WHERE seq = 2"),
    (Check.COMMIT_SEQ, "UPDATE shards SET commit_seq = commit_seq + 1 WHERE shard_id = 0"),
    (Check.COMMIT_SEQ, "INSERT INTO relay_cursors VALUES (0, 'bus', 1000000)"),
    (Check.HASH, "UPDATE events SET payload = replace(payload, '\"seq\":2', '\"seq\": 2') WHERE seq = 2"),
    (Check.HASH, "UPDATE events SET hash = repeat('0', 64) WHERE seq = 3"),
    (Check.EVENT, "UPDATE events SET kind = 'MINT_SETS' WHERE kind = 'PLACE_ORDER'"),
    (Check.ZERO_SUM, "UPDATE trade_ledger SET points_micros = points_micros + 1 WHERE user_id IS NULL"),
    (Check.LEDGER, "DELETE FROM trade_ledger WHERE kind = 'MINT_SETS'"),
    (Check.LEDGER, "UPDATE trade_ledger SET balance_after_micros = balance_after_micros + 1"),
    (Check.FILLS, "UPDATE fills SET fee_micros = fee_micros + 1"),
    (Check.FILLS, "DELETE FROM trades WHERE venue = 'BOOK'"),
    (Check.ORDERS, "UPDATE orders SET cost_micros = cost_micros + 1 WHERE filled_micros > 0"),
    (Check.ORDERS, "DELETE FROM orders WHERE remaining_micros = 0"),
    (Check.MARKET, "UPDATE markets SET vault_micros = vault_micros + 1 WHERE status = 'ACTIVE'"),
    (Check.MARKET, "UPDATE markets SET pool_yes_micros = pool_yes_micros - 1 WHERE status = 'ACTIVE'"),
    (Check.MARKET, "UPDATE markets SET pending_micros = pending_micros + 1 WHERE status = 'ACTIVE'"),
    (Check.MARKET, "UPDATE markets SET last_trade_seq = 1 WHERE status = 'ACTIVE'"),
    (Check.MARKET, "UPDATE system_streams SET seq = seq + 1 WHERE seq > 0"),
    (Check.MARKET, "DELETE FROM markets WHERE status = 'ACTIVE'"),
    (Check.POSITIONS, "UPDATE positions SET yes_micros = yes_micros + 1"),
    (Check.POSITIONS, "UPDATE positions SET realized_pnl_micros = realized_pnl_micros + 1"),
    (Check.ACCOUNTS, "UPDATE accounts SET available_micros = available_micros + 1"),
    (Check.ACCOUNTS, "UPDATE accounts SET user_seq = user_seq + 1"),
    (
        Check.ACCOUNTS,
        "UPDATE accounts SET available_micros = available_micros - 1, locked_micros = locked_micros + 1",
    ),
    (Check.SUPPLY, "UPDATE accounts SET available_micros = available_micros + 1"),
    (Check.ISSUANCE, "UPDATE issuance SET granted_micros = granted_micros + 1"),
    (Check.KEYS, "UPDATE idempotency SET seq = 1000000"),
]


async def test_what_the_write_path_wrote_is_sound(fresh_database: Database, writer: Connection) -> None:
    await played(writer)
    report = await verify(fresh_database.url_for("pm_db"))
    assert report.broken() == [], [report.results[check].examples for check in report.broken()]
    not_looked_at = {check for check, result in report.results.items() if not result.looked_at}
    assert not_looked_at == set()


async def test_an_empty_database_is_sound(fresh_database: Database) -> None:
    assert (await verify(fresh_database.url_for("pm_db"))).broken() == []


@pytest.mark.parametrize(("check", "statement"), TAMPERED, ids=[statement[:60] for _, statement in TAMPERED])
async def test_a_tampered_row_is_found(
    fresh_database: Database, writer: Connection, rows: Connection, check: Check, statement: str
) -> None:
    await played(writer)
    await rows.execute(statement)
    assert check in (await verify(fresh_database.url_for("pm_db"))).broken()


async def test_a_replay_gives_the_state_in_postgres(
    fresh_database: Database, writer: Connection, rows: Connection
) -> None:
    _, market_id = await played(writer)
    url = fresh_database.url_for("pm_db")
    replayed = await replay(url)
    assert len(replayed) == 2
    assert all(one.same and one.stored_hash for one in replayed)
    (early,) = await replay(url, market_id, 3)
    assert early.seq == 3
    assert early.stored_hash == ""
    await rows.execute("UPDATE positions SET basis_yes_micros = basis_yes_micros + 1 WHERE yes_micros > 0")
    (tampered,) = await replay(url, market_id)
    assert not tampered.same


async def test_the_commands_tell_by_their_exit_code(
    fresh_database: Database, writer: Connection, rows: Connection
) -> None:
    await played(writer)

    def run(command: str) -> subprocess.CompletedProcess[str]:
        environment = {"DATABASE_URL": fresh_database.url_for("pm_db"), "COLUMNS": "120"}
        arguments = [sys.executable, "-m", "db_service", command]
        return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)

    for command in ("verify", "replay"):
        done = await asyncio.to_thread(run, command)
        assert done.returncode == 0, done.stdout + done.stderr
    await rows.execute("UPDATE positions SET yes_micros = yes_micros + 1")
    for command in ("verify", "replay"):
        done = await asyncio.to_thread(run, command)
        assert done.returncode == 1, done.stdout + done.stderr
