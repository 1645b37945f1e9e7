"""What analysts may read: the SQL files parse, ask for what is granted and no more, and hide what they should."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from analytics import schema
from analytics.analysts import access
from analytics.clickhouse import DATABASE, ClickHouse, Place, opened
from analytics.ingest.tables import TABLES

FILES = (access.READERS, access.VIEWS, access.LIMITS, access.ANALYST)
PERSONAL = ("email", "e_mail", "mail", "address", "password", "display_name", "phone")
VIEWS = re.compile(r"CREATE OR REPLACE VIEW predmarket_analysts\.(\w+)\n(.*?)\nCOMMENT", re.DOTALL)
GRANTS = re.compile(r"GRANT SELECT\(([^)]*)\)\s*ON predmarket\.(\w+) TO predmarket_views")


async def test_each_statement_is_sql(clickhouse: ClickHouse) -> None:
    for path in FILES:
        for statement in access.statements(path, DATABASE):
            rows = await clickhouse.writers_rows(f"EXPLAIN AST {statement}")
            assert rows[0][0].startswith(("Create", "Grant", "CREATE ROW POLICY", "SetRole")), statement


async def test_what_is_no_statement_does_not_pass_for_one(clickhouse: ClickHouse) -> None:
    for wrong in ("CREATE ROLE IF EXISTS x", "GRANT SELECT ON TO x", "CREATE QUOTA q FOR INTERVAL 1 MAX x"):
        with pytest.raises(DatabaseError):
            await clickhouse.writers_rows(f"EXPLAIN AST {wrong}")


def test_the_grants_name_every_column_of_every_table_and_nothing_else() -> None:
    granted = {
        table: tuple(name.strip() for name in columns.split(","))
        for columns, table in GRANTS.findall(access.READERS.read_text())
    }
    assert granted == {table.name: table.names for table in TABLES}


async def test_the_views_work_and_show_nothing_that_says_who_a_person_is(clickhouse: ClickHouse) -> None:
    await access.apply(clickhouse)
    await access.apply(clickhouse)  # can be repeated
    names = [name for name, _ in VIEWS.findall(access.VIEWS.read_text())]
    assert len(names) == 11
    for name in names:
        rows = await clickhouse.rows(f"DESCRIBE TABLE {access.database_of(clickhouse.place.database)}.{name}")
        assert {"market_id"} < {row[0] for row in rows}
        assert [row[0] for row in rows if any(word in row[0] for word in PERSONAL)] == []


async def test_a_market_that_was_never_opened_is_not_shown(clickhouse: ClickHouse) -> None:
    await access.apply(clickhouse)
    opened_market, draft = uuid4(), uuid4()
    await _change(clickhouse, opened_market, 1, "DRAFT", "Will it open?")
    await _change(clickhouse, opened_market, 2, "ACTIVE", "")
    await _change(clickhouse, opened_market, 3, "PAUSED", "")
    await _change(clickhouse, draft, 1, "DRAFT", "Nobody knows yet?")
    views = access.database_of(clickhouse.place.database)
    found = await clickhouse.rows(f"SELECT market_id, question, status FROM {views}.markets")
    assert found == [(opened_market, "Will it open?", "PAUSED")]
    changes = await clickhouse.rows(f"SELECT market_id, seq FROM {views}.market_changes ORDER BY seq")
    assert changes == [(opened_market, 1), (opened_market, 2), (opened_market, 3)]


async def _change(clickhouse: ClickHouse, market_id: UUID, seq: int, status: str, question: str) -> None:
    names = ["market_id", "seq", "status", "question", "has_terms"]
    await clickhouse.insert("markets", names, [[market_id], [seq], [status], [question], [bool(question)]])


@pytest.mark.parametrize("name", ["default", "Ann", "a", "ann'; DROP", "ann-lee", "x" * 42, ""])
async def test_a_bad_name_makes_no_user(name: str) -> None:
    nowhere = ClickHouse(Place(url="http://127.0.0.1:1"))
    with pytest.raises(access.BadName):
        await access.add_analyst(nowhere, name)
    with pytest.raises(access.BadName):
        await access.remove_analyst(nowhere, name)
    await nowhere.close()


@pytest.fixture
async def server() -> AsyncIterator[ClickHouse]:
    """A database of its own on the server of CLICKHOUSE_URL."""
    if not os.environ.get("CLICKHOUSE_URL"):
        pytest.skip(
            "CLICKHOUSE_URL is not set: roles, grants, row policies and quotas were parsed, not executed"
        )
    place = Place(url=os.environ["CLICKHOUSE_URL"], database=f"test_{uuid4().hex}")
    async with opened(place) as clickhouse:
        await schema.apply(clickhouse)
        yield clickhouse
        await clickhouse.command(f"DROP DATABASE IF EXISTS {access.database_of(place.database)} SYNC")
        await clickhouse.drop_database()


async def test_on_a_server_an_analyst_reads_the_views_and_nothing_else(server: ClickHouse) -> None:
    await access.apply(server)
    await access.apply(server)
    name, database = f"analyst_{uuid4().hex[:8]}", server.place.database
    password = await access.add_analyst(server, name)
    try:
        client = clickhouse_connect.get_client(
            dsn=server.place.url, username=name, password=password, database=access.database_of(database)
        )
        assert client.query("SELECT count() FROM trades").result_rows == [(0,)]
        for refused in (
            f"SELECT count() FROM {database}.trades",
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
            "SELECT * FROM url('http://127.0.0.1', 'LineAsString')",
            "SELECT 1 SETTINGS max_execution_time = 0",
            f"CREATE TABLE {database}.mine (a Int8) ENGINE = Memory",
        ):
            with pytest.raises(DatabaseError):
                client.query(refused)
        client.close()
    finally:
        await access.remove_analyst(server, name)
