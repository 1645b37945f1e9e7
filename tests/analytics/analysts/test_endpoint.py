"""ClickHouse's HTTP interface: what clients send, what they get."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.analytics.analysts.conftest import TRADES, Live

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_query_in_the_address_the_body_or_both(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.token()}"}
    async with live.http.get(
        live.url, params={"query": "SELECT count() FROM trades"}, headers=headers
    ) as answer:
        assert (answer.status, await answer.text()) == (200, f"{TRADES}\n")
        assert answer.headers["X-ClickHouse-Format"] == "TabSeparated"
        assert answer.headers["Content-Type"] == "text/tab-separated-values; charset=UTF-8"
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    assert await live.ask("SELECT count() FROM trades") == (200, f"{TRADES}\n")
    assert await live.ask("FROM trades", query="SELECT count()") == (200, f"{TRADES}\n")
    async with live.http.get(live.url + "ping") as answer:
        assert (answer.status, await answer.text()) == (200, "Ok.\n")


async def test_formats_by_clause_header_and_parameter(live: Live) -> None:
    assert await live.ask("SELECT 1 AS a FORMAT JSONEachRow") == (200, '{"a":1}\n')
    assert await live.ask("SELECT 1 AS a", default_format="CSVWithNames") == (200, '"a"\n1\n')
    headers = {"Authorization": f"Bearer {live.token()}", "X-ClickHouse-Format": "JSONCompact"}
    async with live.http.post(live.url, data=b"SELECT 1 AS a", headers=headers) as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert (await answer.json())["data"] == [[1]]
    for wrong in ("Template", "Protobuf", "NoSuchThing", "DataFrame"):
        status, text = await live.ask("SELECT 1", default_format=wrong)
        assert (status, text[:9]) == (404, "Code: 73.")


async def test_parameters_are_values_and_never_sql(live: Live) -> None:
    sql = "SELECT {a:Int32} + 1, {b:String}, {c:Array(UInt8)}"
    status, text = await live.ask(sql, param_a="4", param_b="it's \\t a; DROP", param_c="[1,2]")
    assert (status, text) == (200, "5\tit\\'s \\t a; DROP\t[1,2]\n")
    status, text = await live.ask("SELECT {a:Int32}", param_a="4 + 1")
    assert (status, text[:10]) == (400, "Code: 457.")
    status, text = await live.ask("SELECT {missing:Int32}")
    assert (status, text[:10]) == (400, "Code: 456.")


async def test_a_wrong_query_is_answered_in_clickhouses_words(live: Live) -> None:
    for sql, status, begin, contains in (
        ("SELEC 1", 400, "Code: 62. DB::Exception: Syntax error", "SELEC 1"),
        ("SELECT nosuch FROM trades", 404, "Code: 47. DB::Exception: Unknown", "`nosuch`"),
        ("SELECT 1 FROM nosuch", 404, "Code: 60. DB::Exception: Unknown table", "'nosuch'"),
        ("SELECT toUInt8('x')", 400, "Code: 6. DB::Exception: Cannot parse", "(CANNOT_PARSE_TEXT)"),
        ("", 400, "Code: 62. DB::Exception: Empty query", "(SYNTAX_ERROR)"),
        ("SELECT 1; SELECT 2", 400, "Code: 62. DB::Exception: Syntax error (Multi-statements", ""),
        ("SELECT " + "(" * 500 + "1" + ")" * 500, 400, "Code: 306. DB::Exception", "(TOO_DEEP_RECURSION)"),
    ):
        got, text = await live.ask(sql)
        assert got == status, text
        assert text.startswith(begin)
        assert contains in text
        assert "parseQueryToJSON" not in text
        assert "Traceback" not in text


async def test_no_text_of_ours_comes_out(live: Live) -> None:
    """Whatever goes wrong inside: the code, and nothing about where we keep what."""
    for sql in (
        "SELECT throwIf(1, 'mine')",
        "SELECT match(venue, '(') FROM trades",
        "SELECT arrayReduce('nosuch', [1])",
        "SELECT CAST('x' AS Nosuch)",
        "\u202e SELECT \U0001f600",
        "SELECT {a:Array(Array(Nosuch))}",
    ):
        status, text = await live.ask(sql, param_a="[[1")
        assert 400 <= status < 500, (sql, text)
        assert text.startswith("Code: ")
        for ours in (str(live.clickhouse.place.folder), "Traceback", 'File "', ".py", "version 2"):
            assert ours not in text


async def test_whoever_is_no_analyst_is_refused(live: Live) -> None:
    for role in ("user", "treasury", "service"):
        status, text = await live.ask("SELECT 1", token=live.token(role))
        assert (status, text[:10]) == (403, "Code: 497.")
    for role in ("analyst", "admin"):
        assert await live.ask("SELECT 1", token=live.token(role)) == (200, "1\n")
    assert (await live.ask("SELECT 1", token="nonsense"))[0] == 401
    assert (await live.ask("SELECT 1", token=live.token(exp=1)))[0] == 401
    async with live.http.post(live.url, data=b"SELECT 1") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.headers["X-ClickHouse-Exception-Code"] == "516"


async def test_a_token_as_a_password_too(live: Live) -> None:
    token = live.token()
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    for headers in (
        {"Authorization": f"Basic {basic}"},
        {"X-ClickHouse-User": "anybody", "X-ClickHouse-Key": token},
    ):
        async with live.http.post(live.url, data=b"SELECT 1", headers=headers) as answer:
            assert (answer.status, await answer.text()) == (200, "1\n")
    async with live.http.get(live.url, params={"query": "SELECT 1", "password": token}) as answer:
        assert answer.status == 401
        assert "header" in await answer.text()


@pytest.mark.parametrize(
    "authorization", ["Basic", "Basic é", "Basic =", "Basic /w==", "Bearer é", "Nosuch x", "é", "Basic Og=="]
)
async def test_credentials_that_are_none_are_refused(live: Live, authorization: str) -> None:
    headers = {"Authorization": authorization}
    async with live.http.post(live.url, data=b"SELECT 1", headers=headers) as answer:
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (401, "516")


async def test_settings_cannot_come_with_the_request(live: Live) -> None:
    for name in ("max_execution_time", "max_memory_usage", "allow_ddl", "nosuch", "log_comment"):
        status, text = await live.ask("SELECT 1", **{name: "1000"})
        assert (status, text[:10]) == (403, "Code: 164.")
    assert await live.ask("SELECT 1", session_id="a", wait_end_of_query="1", readonly="1") == (200, "1\n")
    assert (await live.ask("SELECT 1", database="system"))[0] == 404


async def test_bodies_that_are_no_query(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.token()}"}
    async with live.http.post(live.url, data=b"\xff\xfe SELECT", headers=headers) as answer:
        assert answer.status == 400
    async with live.http.post(live.url, data=b"SELECT '" + b"x" * 300_000 + b"'", headers=headers) as answer:
        assert answer.status == 413
    async with live.http.post(live.url, data=b"x" * 2_000_000, headers=headers) as answer:
        assert answer.status == 413


PART = b'--x\r\nContent-Disposition: form-data; name="query"\r\n'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(PART + b"\r\nSELECT 1\r\n--x--\r\n", 0, id="good"),
        pytest.param(b"--x\r\nnonsense", 36, id="no header"),
        pytest.param(b"--x\r\n\r\nSELECT 1\r\n--x--\r\n", 36, id="no name"),
        pytest.param(b"nonsense", 36, id="no part"),
        pytest.param(PART + b"\r\nSELECT \xff\r\n--x--\r\n", 36, id="no UTF-8"),
        pytest.param(
            PART + b"Content-Type: text/plain; charset=nosuch\r\n\r\nSELECT 1\r\n--x--\r\n", 36, id="charset"
        ),
        pytest.param(
            PART + b"Content-Transfer-Encoding: nosuch\r\n\r\nSELECT 1\r\n--x--\r\n", 36, id="transfer"
        ),
        pytest.param(PART + b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n", 36, id="nested"),
        pytest.param(PART[:-2] + b'; filename="f"\r\n\r\nSELECT 1\r\n--x--\r\n', 164, id="an external table"),
    ],
)
async def test_a_form_that_is_none_is_refused(live: Live, body: bytes, code: int) -> None:
    headers = {
        "Authorization": f"Bearer {live.token()}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    async with live.http.post(live.url, data=body, headers=headers) as answer:
        assert answer.status == {0: 200, 36: 400, 164: 403}[code]
        assert answer.headers.get("X-ClickHouse-Exception-Code", "0") == str(code)


def _with_client(url: str, token: str) -> dict[str, Any]:
    client = clickhouse_connect.get_client(dsn=url, username="ann", password=token)
    try:
        found: dict[str, Any] = {
            "rows": client.query(
                "SELECT seq, quantity_micros, time, venue FROM trades WHERE seq <= {n:UInt64} ORDER BY seq",
                parameters={"n": 2},
            ).result_rows,
            "one": client.command("SELECT count() FROM trades"),
            "tables": client.command("SHOW TABLES"),
            "columns": [row[0] for row in client.query("DESCRIBE TABLE prices").result_rows],
            "raw": client.raw_query("SELECT 1 AS a", fmt="CSV"),
        }
        with client.query_row_block_stream("SELECT seq FROM trades") as stream:
            found["streamed"] = sum(len(block) for block in stream)
        with pytest.raises(DatabaseError, match="Code: 47"):
            client.query("SELECT nosuch FROM trades")
        with pytest.raises(DatabaseError, match="READONLY"):
            client.command("DROP TABLE trades")
        return found
    finally:
        client.close()


async def test_clickhouse_connect_can_ask(live: Live) -> None:
    found = await asyncio.to_thread(_with_client, live.url, live.token())
    assert [row[:2] for row in found["rows"]] == [(1, 0), (2, 1)]
    assert found["one"] == TRADES
    assert "trades" in found["tables"]
    assert "probability_micros" in found["columns"]
    assert found["raw"] == b"1\n"
    assert found["streamed"] == TRADES


async def test_curl_can_ask(live: Live) -> None:
    command = ["curl", "-sS", "-u", f"ann:{live.token()}", live.url, "-d", "SELECT max(seq) FROM trades"]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == f"{TRADES}\n"
