"""Migrations, and what the tables refuse whoever asks."""

import asyncio

import asyncpg
import pytest

from db_service.migrate import MigrationError, migrate, migrate_async, newest_revision
from runtime.postgres import Connection
from tests.db_service.shard import connect, played
from tests.servers import Database

BROKEN_MONEY = [
    "UPDATE accounts SET available_micros = -1",
    "UPDATE accounts SET locked_micros = -1",
    "UPDATE accounts SET user_seq = -1",
    "UPDATE positions SET yes_micros = -1, locked_yes_micros = -1",
    "UPDATE positions SET locked_yes_micros = yes_micros + 1",
    "UPDATE positions SET locked_no_micros = no_micros + 1",
    "UPDATE positions SET yes_micros = 0, basis_yes_micros = 1",
    "UPDATE markets SET tick_micros = 100",
    "UPDATE markets SET fee_bps = 1001",
    "UPDATE markets SET initial_probability_micros = 999",
    "UPDATE markets SET collateral_micros = pool_yes_micros - 1 WHERE status = 'ACTIVE'",
    "UPDATE markets SET pool_yes_micros = 0 WHERE status = 'ACTIVE'",
    "UPDATE markets SET vault_micros = -1",
    "UPDATE markets SET pending_micros = -1",
    "UPDATE markets SET status = 'OPEN'",
    "UPDATE markets SET outcome = 'YES' WHERE status = 'ACTIVE'",
    "UPDATE markets SET settled = true WHERE status = 'ACTIVE'",
    "UPDATE markets SET paid_micros = payable_micros + 1",
    "UPDATE markets SET last_trade_seq = seq + 1",
    "UPDATE orders SET filled_micros = filled_micros + 1",
    "UPDATE orders SET remaining_micros = remaining_micros - 1, cancelled_micros = cancelled_micros + 2"
    " WHERE remaining_micros > 0",
    "UPDATE orders SET price_micros = 1000001",
    "UPDATE orders SET status = 'FILLED' WHERE remaining_micros > 0",
    "UPDATE orders SET locked_points_micros = locked_points_micros + 1",
    "UPDATE orders SET side = 'HOLD'",
    "UPDATE fills SET quantity_micros = 0",
    "UPDATE fills SET netted_micros = quantity_micros + 1",
    "UPDATE trades SET kind = 'POOL' WHERE venue = 'BOOK'",
    "UPDATE events SET seq = 0",
    "UPDATE trade_ledger SET balance_after_micros = -1 WHERE user_id IS NOT NULL",
    "UPDATE trade_ledger SET balance_after_micros = NULL WHERE user_id IS NOT NULL",
    "UPDATE shards SET commit_seq = -1",
]

FORBIDDEN = [
    ("pm_order", "UPDATE events SET kind = ''"),
    ("pm_order", "DELETE FROM events"),
    ("pm_order", "TRUNCATE events"),
    ("pm_order", "SELECT 1 FROM trade_ledger"),
    ("pm_order", "UPDATE trade_ledger SET points_micros = 0"),
    ("pm_order", "DELETE FROM trade_ledger"),
    ("pm_order", "DELETE FROM trade_ledger_rest"),
    ("pm_order", "UPDATE fills SET fee_micros = 0"),
    ("pm_order", "DELETE FROM idempotency"),
    ("pm_order", "DELETE FROM accounts"),
    ("pm_order", "UPDATE audit_log SET reason = ''"),
    ("pm_order", "DELETE FROM audit_log"),
    ("pm_order", "UPDATE settings SET value = '9'"),
    ("pm_order", "INSERT INTO shards (shard_id) VALUES (99)"),
    ("pm_order", "SELECT ensure_partitions(1)"),
    ("pm_db", "UPDATE accounts SET available_micros = 1"),
    ("pm_db", "INSERT INTO audit_log (actor_id, action, target) VALUES (gen_random_uuid(), 'x', '')"),
    ("pm_db", "DELETE FROM idempotency"),
    ("pm_db", "UPDATE markets SET question = ''"),
    ("pm_db", "CREATE TABLE mine (x int)"),
    ("pm_auth", "SELECT 1 FROM orders"),
    ("pm_auth", "SELECT 1 FROM events"),
]


async def test_broken_money_cannot_be_stored(writer: Connection, rows: Connection) -> None:
    await played(writer)
    for statement in BROKEN_MONEY:
        with pytest.raises(asyncpg.CheckViolationError):
            await rows.execute(statement)


async def test_nobody_may_do_more_than_he_needs(fresh_database: Database) -> None:
    connections = {
        role: await connect(fresh_database.url_for(role)) for role in ("pm_order", "pm_db", "pm_auth")
    }
    for role, statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connections[role].execute(statement)
    for connection in connections.values():
        await connection.close()


async def test_a_duplicate_ledger_row_is_refused(writer: Connection, rows: Connection) -> None:
    await played(writer)
    for which in ("IS NULL", "IS NOT NULL"):
        with pytest.raises(asyncpg.UniqueViolationError):
            await rows.execute(
                f"INSERT INTO trade_ledger SELECT * FROM trade_ledger WHERE user_id {which} LIMIT 1"
            )


async def test_migrations_may_run_again_and_at_once(fresh_database: Database, rows: Connection) -> None:
    await asyncio.gather(*(migrate_async(fresh_database.url) for _ in range(4)))
    assert await rows.fetchval("SELECT version_num FROM alembic_version") == newest_revision()
    count = int(await rows.fetchval("SELECT value FROM settings WHERE name = 'shard_count'"))
    assert await rows.fetchval("SELECT count(*) FROM shards") == count
    assert await rows.fetchval("SELECT count(*) FROM system_streams") == count


async def test_the_number_of_shards_is_kept(fresh_database: Database) -> None:
    with pytest.raises(MigrationError, match="keeps them"):
        await asyncio.to_thread(migrate, fresh_database.url, 99)


async def test_partitions_are_made_ahead(fresh_database: Database, rows: Connection) -> None:
    reader = await connect(fresh_database.url_for("pm_db"))
    assert await reader.fetchval("SELECT ensure_partitions(12)") == 0
    assert await reader.fetchval("SELECT ensure_partitions(14)") == 2
    await reader.close()
    partition = await rows.fetchval(
        "INSERT INTO trade_ledger VALUES ((extract(epoch FROM now()) * 1000000)::bigint, gen_random_uuid(), 1,"
        " NULL, 'x', 0, 0, 0, NULL) RETURNING tableoid::regclass::text"
    )
    assert partition == await rows.fetchval("SELECT 'trade_ledger_' || to_char(now(), 'YYYY_MM')")
    rest = await rows.fetchval(
        "INSERT INTO trade_ledger VALUES (1, gen_random_uuid(), 1, NULL, 'x', 0, 0, 0, NULL)"
        " RETURNING tableoid::regclass::text"
    )
    assert rest == "trade_ledger_rest"


async def test_making_partitions_gives_way_to_a_long_reader(
    fresh_database: Database, rows: Connection
) -> None:
    reader = await connect(fresh_database.url_for("pm_db"))
    maker = await connect(fresh_database.url_for("pm_db"))
    async with rows.transaction():
        await rows.fetchval("SELECT count(*) FROM trade_ledger")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await maker.fetchval("SELECT ensure_partitions(14)", timeout=5)
        assert await reader.fetchval("SELECT count(*) FROM trade_ledger", timeout=1) == 0, "nobody queues"
    assert await maker.fetchval("SELECT ensure_partitions(14)") == 2
    await reader.close()
    await maker.close()


async def test_old_keys_are_forgotten_but_those_of_grants_and_orders(
    fresh_database: Database, rows: Connection
) -> None:
    await rows.executemany(
        "INSERT INTO idempotency VALUES (gen_random_uuid(), $1, 'x', 'h', gen_random_uuid(), 1,"
        " now() - make_interval(hours => $2))",
        [("a", 49), ("b", 47), ("grant:1", 1000), ("order:1", 1000)],
    )
    reader = await connect(fresh_database.url_for("pm_db"))
    assert await reader.fetchval("SELECT forget_old_keys(10)") == 1
    await reader.close()
    left = await rows.fetch("SELECT key FROM idempotency ORDER BY key")
    assert [row["key"] for row in left] == ["b", "grant:1", "order:1"]
