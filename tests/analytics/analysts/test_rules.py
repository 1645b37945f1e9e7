"""What analysts may not do, one by one; each is refused before it runs."""

from __future__ import annotations

import json

import pytest
from chdb.state.sqlitelike import Connection

from analytics.analysts import access, functions
from tests.analytics.analysts.conftest import TRADES, Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE_FUNCTIONS = {
    "file": "file('/etc/passwd', 'LineAsString')",
    "fileCluster": "fileCluster('default', '/etc/passwd', 'LineAsString')",
    "url": "url('http://127.0.0.1:1/', 'LineAsString')",
    "urlCluster": "urlCluster('default', 'http://127.0.0.1:1/', 'LineAsString')",
    "s3": "s3('http://127.0.0.1:1/bucket/x', 'CSV')",
    "s3Cluster": "s3Cluster('default', 'http://127.0.0.1:1/bucket/x', 'CSV')",
    "gcs": "gcs('http://127.0.0.1:1/bucket/x', 'CSV')",
    "oss": "oss('http://127.0.0.1:1/bucket/x', 'CSV')",
    "cosn": "cosn('http://127.0.0.1:1/bucket/x', 'CSV')",
    "azureBlobStorage": "azureBlobStorage('http://127.0.0.1:1', 'a', 'b')",
    "hdfs": "hdfs('hdfs://127.0.0.1:1/x', 'CSV')",
    "iceberg": "iceberg('http://127.0.0.1:1/x')",
    "icebergLocal": "icebergLocal('/etc', 'CSV')",
    "deltaLake": "deltaLake('http://127.0.0.1:1/x')",
    "deltaLakeLocal": "deltaLakeLocal('/etc')",
    "hudi": "hudi('http://127.0.0.1:1/x')",
    "paimonLocal": "paimonLocal('/etc')",
    "remote": "remote('127.0.0.1', 'system', 'one')",
    "remoteSecure": "remoteSecure('127.0.0.1', 'system', 'one')",
    "cluster": "cluster('default', 'system', 'one')",
    "clusterAllReplicas": "clusterAllReplicas('default', 'system', 'one')",
    "executable": "executable('x.sh', 'TSV', 'a String')",
    "filesystem": "filesystem('/etc')",
    "python": "python('reader')",
    "eval": "eval('SELECT 1')",
    "mysql": "mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "postgresql": "postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "mongodb": "mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'e Int8')",
    "redis": "redis('127.0.0.1:1', 'a', 'a Int8')",
    "sqlite": "sqlite('/tmp/x.db', 't')",
    "odbc": "odbc('DSN=x', 'a', 'b')",
    "jdbc": "jdbc('x', 'y')",
    "bigquery": "bigquery('a', 'b', 'c')",
    "ytsaurus": "ytsaurus('a', 'b', 'c')",
    "arrowstream": "arrowstream('x')",
    "merge": "merge('system', '.*')",
    "loop": "loop(trades)",
    "dictionary": "dictionary('x')",
    "format": "format('CSV', '1,2')",
    "input": "input('a String')",
    "viewIfPermitted": "viewIfPermitted(SELECT 1 ELSE null('a Int8'))",
    "viewExplain": "viewExplain('EXPLAIN', '', (SELECT 1))",
    "mergeTreeIndex": "mergeTreeIndex('system', 'query_log')",
    "generateRandom": "generateRandom('a Int8')",
    "prometheusQuery": "prometheusQuery('a', 'b', 'c', now())",
}

EXPRESSIONS = {
    "the function file": "SELECT file('/etc/passwd')",
    "a function applied by name": "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS name)",
    "a function applied in a lambda": "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS name)",
    "in the value of WITH": "WITH file('/etc/passwd') AS x SELECT x",
    "in ORDER BY": "SELECT 1 ORDER BY file('/etc/passwd')",
    "in a window": "SELECT sum(1) OVER (PARTITION BY file('/etc/passwd'))",
    "in REPLACE": "SELECT * REPLACE(file('/etc/passwd') AS name) FROM (SELECT '' AS name)",
    "in a view of the query": "SELECT * FROM view(SELECT file('/etc/passwd'))",
    "in LIMIT": "SELECT 1 LIMIT length(file('/etc/passwd'))",
    "in another case": "SELECT FILE('/etc/passwd')",
    "in back quotes": "SELECT `file`('/etc/passwd')",
    "in quotes": "SELECT \"file\"('/etc/passwd')",
    "with escapes in its name": "SELECT `fil\\x65`('/etc/passwd')",
    "with a comment in between": "SELECT file/* */('/etc/passwd')",
    "behind a comment with a zero byte": "SELECT 1 -- \0\n, file('/etc/passwd')",
    "given to a function of functions": "SELECT arrayMap(file, ['/etc/passwd'])",
    "given in back quotes": "SELECT arrayMap(`file`, ['/etc/passwd'])",
    "given in parentheses": "SELECT arrayMap((file), ['/etc/passwd'])",
    "given under another name": "SELECT arrayMap(file AS f, ['/etc/passwd'])",
    "given in a view": "SELECT * FROM view(SELECT arrayMap(file, ['/etc/passwd']))",
    "given by a parameter": "SELECT arrayMap({{f:Identifier}}, ['/etc/passwd'])",
    "in the text of an aggregate": "SELECT arrayReduce('groupConcat(file(''/etc/passwd''))', ['a', 'b'])",
    "in a text for ranges": "SELECT arrayReduceInRanges('groupConcat(hostName())', [(1, 2)], ['a', 'b'])",
    "in the text of a state": "SELECT initializeAggregation('groupConcatState(file(''/etc/passwd''))', 'a')",
    "in a text that is computed": "SELECT arrayReduce(concat('groupConcat(', 'hostName())'), ['a', 'b'])",
    "in a text that is a parameter": "SELECT arrayReduce({{a:String}}, ['a', 'b'])",
    "an aggregate by a name that is given": "SELECT arrayMap(arrayReduce, ['sum'], [[1]])",
    "in a text that APPLY gives": "SELECT * APPLY(initializeAggregation) FROM (SELECT 'count(hostName())' AS a)",
    "as an ALIAS of values": "SELECT b FROM values('a Int8, b String ALIAS file(''/etc/passwd'')', (1))",
    "as an ALIAS without a type": "SELECT b FROM values('a Int8, b ALIAS(file(''/etc/passwd''))', (1))",
    "as a DEFAULT of values": "SELECT b FROM values('a Int8, b String DEFAULT file(''/etc/passwd'')', (1, ''))",
    "in a structure that is a parameter": "SELECT b FROM values({{s:String}}, (1))",
    "in a structure that is named": "WITH 'a Int8' AS s SELECT * FROM values(s, 1)",
    "in a pipe": "FROM trades |> EXTEND file('/etc/passwd') AS a",
    "in the frame of a window": "SELECT sum(1) OVER (ROWS length(file('/etc/passwd')) PRECEDING)",
    "in WITH FILL": "SELECT 1 AS n ORDER BY n WITH FILL TO length(file('/etc/passwd'))",
    "in INTERPOLATE": "SELECT 1 AS n, '' AS s ORDER BY n WITH FILL TO 3 INTERPOLATE (s AS file('/etc/passwd'))",
    "in DISTINCT ON": "SELECT DISTINCT ON (file('/etc/passwd')) 1",
    "in LIMIT BY": "SELECT 1 LIMIT 1 BY file('/etc/passwd')",
    "in QUALIFY": "SELECT 1 QUALIFY file('/etc/passwd') = ''",
    "in ARRAY JOIN": "SELECT 1 FROM trades ARRAY JOIN [file('/etc/passwd')] AS a",
    "in the parameter of an aggregate": "SELECT quantile(length(file('/etc/passwd')))(1)",
    "in the argument of a table function": "SELECT * FROM numbers(length(file('/etc/passwd')))",
    "a format of its own": "SELECT formatRow('Template', 1)",
    "a format as an aggregate": "SELECT groupFormat('Template')(1)",
    "dictGet": "SELECT dictGet('system.x', 'a', 1)",
    "dictHas": "SELECT dictHas('x', 1)",
    "joinGet": "SELECT joinGet('system.x', 'a', 1)",
    "hasColumnInTable": "SELECT hasColumnInTable('system', 'one', 'dummy')",
    "getSetting": "SELECT getSetting('log_comment')",
    "getServerSetting": "SELECT getServerSetting('max_connections')",
    "getMacro": "SELECT getMacro('x')",
    "hostName": "SELECT hostName()",
    "FQDN": "SELECT FQDN()",
    "tcpPort": "SELECT tcpPort()",
    "serverUUID": "SELECT serverUUID()",
    "uptime": "SELECT uptime()",
    "filesystemAvailable": "SELECT filesystemAvailable()",
    "getOSKernelVersion": "SELECT getOSKernelVersion()",
    "showCertificate": "SELECT showCertificate()",
    "sleep": "SELECT sleep(3)",
    "addressToLine": "SELECT addressToLine(1)",
    "logTrace": "SELECT logTrace('x')",
    "aiGenerate": "SELECT aiGenerate('x')",
    "regionToName": "SELECT regionToName(toUInt32(1))",
    "evalMLMethod": "SELECT evalMLMethod(1, 2)",
    "nobody's": "SELECT noSuchFunction(1)",
}

TABLES = {
    "system": "SELECT * FROM system.one",
    "system, quoted": "SELECT * FROM `system`.`tables`",
    "system, in capitals": "SELECT * FROM SYSTEM.tables",
    "information_schema": "SELECT * FROM information_schema.tables",
    "joined": "SELECT 1 FROM trades AS a JOIN system.one AS b ON 1",
    "in a subquery": "SELECT (SELECT count() FROM system.settings)",
    "in a union": "SELECT 1 UNION ALL SELECT * FROM system.one",
    "in an intersection": "SELECT 1 INTERSECT SELECT dummy FROM system.one",
    "in WITH": "WITH x AS (SELECT * FROM system.one) SELECT * FROM x",
    "as a set": "SELECT 1 WHERE 1 IN system.one",
    "in EXISTS": "SELECT 1 WHERE EXISTS(SELECT * FROM system.one)",
    "in view()": "SELECT * FROM view(SELECT * FROM system.one)",
    "the handshake with more": "SELECT name, value, readonly FROM system.settings LIMIT 10000 OFFSET 1",
    "the tables below the views": "SELECT * FROM {tables}.trades",
    "the tables below the views, as a set": "SELECT 1 WHERE (1, 1) IN {tables}.trades",
    "by a parameter": "SELECT * FROM {{t:Identifier}}",
    "as a set by a parameter": "SELECT 1 WHERE 1 IN {{t:Identifier}}",
    "in a database that is a parameter": "SELECT * FROM {{t:Identifier}}.one",
    "as a set in a database that is a parameter": "SELECT 1 WHERE 1 IN {{t:Identifier}}.one",
    "default": "SELECT * FROM default.x",
}

STATEMENTS = {
    "INSERT": "INSERT INTO trades (seq) VALUES (1)",
    "INSERT of a function": "INSERT INTO FUNCTION file('/tmp/x') SELECT 1",
    "CREATE": "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY": "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE FUNCTION": "CREATE FUNCTION f AS x -> x",
    "CREATE DICTIONARY": "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(1)",
    "ALTER": "ALTER TABLE trades ADD COLUMN x Int8",
    "DROP": "DROP TABLE trades",
    "DROP of a database": "DROP DATABASE {tables}",
    "TRUNCATE": "TRUNCATE TABLE {tables}.trades",
    "OPTIMIZE": "OPTIMIZE TABLE {tables}.trades FINAL",
    "RENAME": "RENAME TABLE trades TO x",
    "DETACH": "DETACH DATABASE {tables}",
    "SET": "SET readonly = 0",
    "USE": "USE system",
    "SYSTEM": "SYSTEM SHUTDOWN",
    "KILL": "KILL QUERY WHERE 1",
    "BACKUP": "BACKUP DATABASE {tables} TO Disk('a', 'b')",
    "EXPLAIN": "EXPLAIN SELECT * FROM system.one",
    "SHOW of processes": "SHOW PROCESSLIST",
    "SHOW of databases": "SHOW DATABASES",
    "SHOW of a table's making": "SHOW CREATE TABLE {tables}.trades",
    "SHOW TABLES of another": "SHOW TABLES FROM system",
    "DESCRIBE of another": "DESCRIBE TABLE system.one",
    "DESCRIBE of a function": "DESCRIBE TABLE url('http://127.0.0.1:1')",
    "EXISTS": "EXISTS TABLE system.one",
    "INTO OUTFILE": "SELECT 1 INTO OUTFILE '/tmp/x.csv'",
    "two": "SELECT 1; DROP TABLE trades",
    "two with a hidden end": "SELECT 1 -- \n; DROP TABLE trades",
    "SETTINGS": "SELECT 1 SETTINGS max_execution_time = 0",
    "SETTINGS within": "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
    "COPY": "COPY trades TO '/tmp/x'",
}


def cases(table: dict[str, str]) -> list[object]:
    return [pytest.param(text, id=name) for name, text in table.items()]


async def refused(live: Live, sql: str, *, by_rule: bool = False) -> None:
    """`by_rule`: before the engine saw it."""
    database = live.clickhouse.place.database
    status, text = await live.ask(
        sql.format(tables=database) if "{" in sql else sql,
        param_t="system.one",
        param_f="file",
        param_a="groupConcat(hostName())",
        param_s="a Int8, b String ALIAS hostName()",
    )
    assert status in (400, 403, 404), text
    assert text.startswith("Code: ")
    assert "root:" not in text
    if by_rule:
        assert (status, "open to analysts" in text) == (403, True), text


@pytest.mark.parametrize("function", cases(TABLE_FUNCTIONS))
async def test_a_table_function_that_reaches_outside_is_refused(live: Live, function: str) -> None:
    await refused(live, f"SELECT * FROM {function}")
    status, text = await live.ask(f"SELECT 1 WHERE 1 IN (SELECT 1 FROM (SELECT * FROM {function}))")
    assert (status, "not open to analysts" in text) == (403, True), text


@pytest.mark.parametrize("sql", cases(EXPRESSIONS))
async def test_a_function_that_does_more_than_compute_is_refused(live: Live, sql: str) -> None:
    await refused(live, sql, by_rule=True)


@pytest.mark.parametrize("sql", cases(TABLES))
async def test_a_table_that_is_no_view_of_ours_is_refused(live: Live, sql: str) -> None:
    await refused(live, sql)


@pytest.mark.parametrize("sql", cases(STATEMENTS))
async def test_whatever_is_no_plain_select_is_refused(live: Live, sql: str) -> None:
    await refused(live, sql)
    assert await live.ask("SELECT count() FROM trades") == (200, f"{TRADES}\n")


async def test_the_engine_alone_would_read_any_file(live: Live) -> None:
    """Why the rules look at functions: `readonly` does not. If this fails, the engine has become stricter."""

    def read(session: Connection) -> bytes:
        session.query("SET readonly = 1", "Null")
        return bytes(session.query("SELECT file('/etc/passwd')", "TSVRaw").bytes())

    assert b"root:" in await live.clickhouse.embedded_session(read)


GOOD = (
    "WITH x AS (SELECT seq, quantity_micros AS q FROM trades) SELECT max(q) FROM x WHERE seq < 10",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT max(n) FROM t",
    "SELECT sumIf(quantity_micros, venue = '') / count(), quantile(0.9)(price_micros), uniqExact(seq) FROM trades",
    "SELECT row_number() OVER (PARTITION BY venue), max(seq) OVER w FROM trades WINDOW w AS (ORDER BY seq)",
    "SELECT toStartOfInterval(time, INTERVAL 1 HOUR) AS t, count(DISTINCT seq) FROM trades GROUP BY t ORDER BY t",
    "SELECT arrayMap(x -> x + 1, groupArray(seq))[1], CASE WHEN 1 THEN 'a' ELSE 'b' END, 1::Int8, (1, 2).1 FROM trades",
    "SELECT * EXCEPT (row) REPLACE (seq + 1 AS seq) FROM trades LIMIT 1",
    "SELECT a.seq FROM trades AS a ASOF LEFT JOIN prices AS p ON a.market_id = p.market_id AND a.time >= p.time",
    "SELECT number FROM numbers(3) UNION ALL SELECT * FROM values('a Int8', 1, 2) EXCEPT SELECT 1",
    "SELECT market_id IN (SELECT market_id FROM prices) FROM trades LIMIT 1 BY venue",
    "SELECT venue, sum(quantity_micros) FROM trades GROUP BY ROLLUP(venue) HAVING 1 ORDER BY 1 LIMIT 5 WITH TIES",
    "SELECT trades.seq FROM trades WHERE exists(SELECT 1) AND trades.seq BETWEEN 1 AND 2 FORMAT Null",
    "SELECT COLUMNS('seq') APPLY(max) FROM trades",
    "SELECT sumMap(map('a', 1)), argMaxIf(seq, time, 1), avgOrNull(seq) AS a FROM trades ORDER BY a WITH FILL",
    "SELECT countMerge(s) FROM (SELECT countState(seq) AS s FROM trades)",
    "SELECT arrayReduce('quantiles(0.5, 0.9)', groupArray(seq)), arrayReduce('sumIf', [1, 2], [1, 0]) FROM trades",
    "SELECT finalizeAggregation(initializeAggregation('sumState', 1)), arrayMap(upper, ['a'])",
    "SELECT * FROM values('a Nullable(Int8), b DateTime64(6, ''UTC''), c Array(String)', (1, 1, ['x']), (2, 2, []))",
    "SELECT * FROM values((1, 'a'), (2, 'b'))",
    "(SELECT 1)",
    "FROM trades SELECT count();",
    "DESCRIBE TABLE trades FORMAT JSON",
    "desc prices",
    "show tables",
)


@pytest.mark.parametrize("sql", GOOD)
async def test_what_analysts_ask_is_answered(live: Live, sql: str) -> None:
    status, text = await live.ask(sql)
    assert status == 200, text


async def test_the_views_are_found_with_and_without_their_database(live: Live) -> None:
    views = access.database_of(live.clickhouse.place.database)
    assert await live.ask(f"SELECT count() FROM {views}.trades", database=views) == (200, f"{TRADES}\n")
    assert (await live.ask(f"DESCRIBE TABLE {views}.trades"))[0] == 200


async def test_no_closed_function_is_reached_by_a_call_or_by_its_name(live: Live) -> None:
    """All that the engine has, those of a new version too."""
    rows = await live.clickhouse.embedded_session(
        lambda session: session.query(functions.CATALOGUE, "JSONCompactEachRow").bytes().splitlines()
    )
    catalogue = [json.loads(row) for row in rows]
    ours = functions.OpenFunctions(catalogue)
    closed = [name for name, _, _, _ in catalogue if not ours.has(name)]
    assert {"file", "sleep", "getSetting", "formatRow", "aggThrow"} <= set(closed)
    for name in closed:
        for sql in (f"SELECT `{name}`(1)", f"SELECT arrayMap(`{name}`, [1])"):
            status, text = await live.ask(sql)
            assert (status, "open to analysts" in text) == (403, True), (sql, text)


async def test_every_function_that_we_name_is_one_of_the_engine(live: Live) -> None:
    """Else a name here is misspelt, and nobody notices."""
    rows = await live.clickhouse.embedded_session(
        lambda session: session.query(functions.CATALOGUE, "JSONCompactEachRow").bytes().splitlines()
    )
    catalogue = {name: kinds for name, _, _, kinds in map(json.loads, rows)}
    assert {name: catalogue.get(name) for name in functions.OPEN_BY_NAME} == dict.fromkeys(
        functions.OPEN_BY_NAME, "Other"
    )
    assert catalogue.keys() >= functions.CLOSED_BY_NAME | functions.NAMED_IN_TEXT
