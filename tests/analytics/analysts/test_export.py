"""Parquet by day: another library reads the files, and finds the sums of the manifest and of ClickHouse."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from analytics.analysts import access
from analytics.analysts.export import MANIFEST, TABLES, Day, Export, read_manifest
from analytics.analysts.sources import AskingFailed, SourceSettings, over_http
from analytics.clickhouse import ClickHouse, Place
from tests.analytics.analysts.conftest import Live

in_the_modules_loop = pytest.mark.asyncio(loop_scope="module")

ALL = (date(1970, 1, 1), date(2100, 1, 1))
ROWS_MAX = 50


@pytest.fixture(scope="module")
def filled(past: Place) -> Place:
    """In the place of the usual rows."""
    return past


class Counting:
    """Asks, and counts the files it was asked for; stops after some."""

    def __init__(self, clickhouse: ClickHouse, files_max: int = 10**9) -> None:
        self._clickhouse = clickhouse
        self.files_left = files_max
        self.files = 0

    async def ask(self, sql: str, wanted: str) -> bytes:
        if wanted == "Parquet":
            if not self.files_left:
                raise ConnectionError("cut off")
            self.files_left -= 1
            self.files += 1
        return await self._clickhouse.formatted(sql, wanted)


def export(counting: Counting, clickhouse: ClickHouse, folder: Path) -> Export:
    prefix = f"{access.database_of(clickhouse.place.database)}."
    return Export(counting.ask, folder, prefix=prefix, file_rows_max=ROWS_MAX)


@in_the_modules_loop
async def test_another_library_finds_the_same_rows_and_sums(live: Live, tmp_path: Path) -> None:
    counting = Counting(live.clickhouse)
    days = await export(counting, live.clickhouse, tmp_path).run(*ALL, lambda day, is_new: None)
    assert list(read_manifest(tmp_path).values()) == sorted(days, key=lambda day: day.key)
    assert {day.table for day in days} == set(TABLES)
    assert any(len(day.files) > 1 for day in days), "no day was long enough to be divided"
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for day in days:
        read = [pq.read_table(tmp_path / file.name) for file in day.files]
        assert [table.num_rows for table in read] == [file.rows for file in day.files]
        assert sum(table.num_rows for table in read) == day.rows
        for name, expected in day.sums.items():
            assert sum(pc.sum(table[name]).as_py() for table in read) == expected
            totals[day.table][name] += expected
        times = [time for table in read for time in table["time"].to_pylist()]
        assert {str(time.date()) for time in times} == {day.day}
        for file in day.files:
            assert hashlib.sha256((tmp_path / file.name).read_bytes()).hexdigest() == file.sha256
    for table, sums in totals.items():
        wanted = ", ".join(f"sum({name})" for name in sums)
        views = access.database_of(live.clickhouse.place.database)
        rows = await live.clickhouse.rows(f"SELECT {wanted} FROM {views}.{table}")
        assert list(rows[0]) == list(sums.values())


@in_the_modules_loop
async def test_an_export_that_was_cut_off_goes_on_where_it_was(live: Live, tmp_path: Path) -> None:
    whole = Counting(live.clickhouse)
    days = await export(whole, live.clickhouse, tmp_path / "whole").run(*ALL, _nobody)
    first = Counting(live.clickhouse, files_max=3)
    with pytest.raises(ConnectionError):
        await export(first, live.clickhouse, tmp_path / "cut").run(*ALL, _nobody)
    begun = read_manifest(tmp_path / "cut")
    assert all((tmp_path / "cut" / file.name).exists() for day in begun.values() for file in day.files)
    rest = Counting(live.clickhouse)
    assert await export(rest, live.clickhouse, tmp_path / "cut").run(*ALL, _nobody) == days
    assert rest.files == whole.files - sum(len(day.files) for day in begun.values())
    again = Counting(live.clickhouse)
    assert await export(again, live.clickhouse, tmp_path / "cut").run(*ALL, _nobody) == days
    assert again.files == 0
    assert not list((tmp_path / "cut").rglob(".*"))


@in_the_modules_loop
async def test_a_damaged_file_and_a_day_with_other_sums_are_written_again(live: Live, tmp_path: Path) -> None:
    days = await export(Counting(live.clickhouse), live.clickhouse, tmp_path).run(*ALL, _nobody)
    damaged = tmp_path / days[0].files[0].name
    damaged.write_bytes(b"x" * days[0].files[0].size_bytes)
    content = json.loads((tmp_path / MANIFEST).read_text())
    content["days"][-1]["rows"] += 1
    changed = content["days"][-1]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    written: list[str] = []
    await export(Counting(live.clickhouse), live.clickhouse, tmp_path).run(
        *ALL, lambda day, is_new: written.append(day.key) if is_new else None
    )
    assert sorted(written) == sorted([days[0].key, f"{changed['table']}/{changed['day']}"])


@in_the_modules_loop
async def test_over_http_with_a_token(live: Live, tmp_path: Path) -> None:
    settings = SourceSettings(analytics_sql_url=live.url, analytics_sql_token=SecretStr(live.token()))
    days = await Export(over_http(settings), tmp_path).run(*ALL, _nobody)
    direct = await export(Counting(live.clickhouse), live.clickhouse, tmp_path / "direct").run(*ALL, _nobody)
    assert [(day.key, day.rows, day.sums) for day in days] == [
        (day.key, day.rows, day.sums) for day in direct
    ]
    refused = SourceSettings(analytics_sql_url=live.url, analytics_sql_token=SecretStr("x"))
    with pytest.raises(AskingFailed, match="516"):
        await Export(over_http(refused), tmp_path).run(*ALL, _nobody)


def test_the_command_takes_a_folder_relative_to_where_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analytics.analysts", "export", "out"]
    environment = {**os.environ, "CLICKHOUSE_FOLDER": ".data/clickhouse"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 rows of 0 days" in done.stdout
    assert (tmp_path / ".data" / "clickhouse" / "store").is_dir()


def _nobody(day: Day, is_new: bool) -> None:
    """Hears nothing."""
