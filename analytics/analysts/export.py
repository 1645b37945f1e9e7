"""Parquet files of the views, one table and day at a time, and a manifest that says what is in them.

A file is written beside its place and moved; the manifest names a day only when all its files are there. So an export
that is cut off leaves nothing half, and the next one goes on after the last day of the manifest. Days that have changed
since (rows or sums differ, or a file is not the one that was written) are exported again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

Ask = Callable[[str, str], Awaitable[bytes]]
"""The result of a query in a format."""

TABLES: Final = {
    "trades": ("quantity_micros", "cost_micros", "fee_micros"),
    "fills": ("quantity_micros", "cost_micros", "fee_micros", "netted_micros"),
    "prices": ("probability_micros", "volume_micros"),
    "order_events": ("filled_micros", "remaining_micros", "cancelled_micros", "cost_micros", "fee_micros"),
    "book_deltas": ("price_micros", "quantity_micros"),
    "ledger": ("points_micros", "yes_micros", "no_micros"),
    "market_events": ("collateral_micros", "vault_micros", "volume_micros"),
    "market_changes": ("liquidity_micros",),
    "resolutions": ("points_micros", "owed_micros", "yes_micros", "no_micros"),
}
"""Views with a time, and the columns whose sums the manifest states."""

FILE_ROWS_MAX: Final = 250_000
"""A longer day has several files, so that a file fits the limits of an analyst's query."""

ATTEMPTS: Final = 3
MANIFEST: Final = "manifest.json"
VERSION: Final = 1


class StillChanging(Exception):
    """Rows of the day came or went while it was written; the message is for people."""


@dataclass(frozen=True, slots=True)
class File:
    """`name` is its path below the folder, `sha256` in hex."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Day:
    """A table's day (UTC): how many rows, their sums, and where they are."""

    table: str
    day: str
    rows: int
    sums: Mapping[str, int]
    files: tuple[File, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.table}/{self.day}"

    def has(self, figures: Day) -> bool:
        return (self.rows, dict(self.sums)) == (figures.rows, dict(figures.sums))


class Export:
    """Into `folder`; `prefix` stands before the views' names."""

    def __init__(
        self, ask: Ask, folder: Path, *, prefix: str = "", file_rows_max: int = FILE_ROWS_MAX
    ) -> None:
        self._ask = ask
        self._folder = folder
        self._prefix = prefix
        self._file_rows_max = file_rows_max
        self._days = read_manifest(folder)

    async def run(self, first: date, end: date, told: Callable[[Day, bool], None]) -> list[Day]:
        """The days from `first` up to and without `end` that have rows. `told` hears of each, and whether it was
        written now. Raises StillChanging."""
        found = []
        for table in TABLES:
            for figures in await self._figures(table, first, end):
                known = self._days.get(figures.key)
                is_new = known is None or not known.has(figures) or not self._are_there(known)
                if is_new:
                    known = await self._written(figures)
                    self._days[known.key] = known
                    self._write_manifest()
                assert known is not None
                told(known, is_new)
                found.append(known)
        return found

    async def _figures(self, table: str, first: date, end: date) -> list[Day]:
        sums = ", ".join(f"toString(sum(toInt128({name}))) AS {name}_sum" for name in TABLES[table])
        sql = (
            f"SELECT toString(toDate(time, 'UTC')) AS day, count() AS row_count, {sums} FROM {self._prefix}{table} "
            f"WHERE {_span(first, end)} GROUP BY day ORDER BY day"
        )
        lines = (await self._ask(sql, "JSONEachRow")).decode().splitlines()
        return [_day(table, json.loads(line)) for line in lines]

    async def _written(self, figures: Day) -> Day:
        day = date.fromisoformat(figures.day)
        for _ in range(ATTEMPTS):
            files = tuple([await self._file(figures, number) for number in range(self._count(figures))])
            after = await self._figures(figures.table, day, day + timedelta(days=1))
            if after == [figures]:
                return Day(figures.table, figures.day, figures.rows, figures.sums, files)
            if not after:
                raise StillChanging(
                    f"the rows of {figures.key} went away meanwhile: export when the rebuild is over"
                )
            figures = after[0]
        raise StillChanging(f"{figures.key} is still being written: export it when the day is over")

    def _count(self, figures: Day) -> int:
        return -(-figures.rows // self._file_rows_max)

    async def _file(self, figures: Day, number: int) -> File:
        day = date.fromisoformat(figures.day)
        first_row = number * self._file_rows_max
        sql = (
            f"SELECT * FROM {self._prefix}{figures.table} WHERE {_span(day, day + timedelta(days=1))} "
            f"ORDER BY market_id, seq, row LIMIT {self._file_rows_max} OFFSET {first_row}"
        )
        body = await self._ask(sql, "Parquet")
        suffix = f"-{number + 1}" if self._count(figures) > 1 else ""
        name = f"{figures.table}/{figures.day}{suffix}.parquet"
        _write(self._folder / name, body)
        rows = min(self._file_rows_max, figures.rows - first_row)
        return File(name, rows, len(body), hashlib.sha256(body).hexdigest())

    def _are_there(self, day: Day) -> bool:
        return all(_is_there(self._folder / file.name, file) for file in day.files)

    def _write_manifest(self) -> None:
        days = [asdict(self._days[key]) for key in sorted(self._days)]
        content = {"version": VERSION, "unit": "micros", "zone": "UTC", "days": days}
        _write(self._folder / MANIFEST, json.dumps(content, indent=1).encode())


def read_manifest(folder: Path) -> dict[str, Day]:
    """What an earlier export wrote, by table and day. Nothing: there was none, or of another version."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    if content["version"] != VERSION:
        return {}
    days = (Day(**{**one, "files": tuple(File(**file) for file in one["files"])}) for one in content["days"])
    return {day.key: day for day in days}


def yesterdays_end() -> date:
    """Today (UTC): the first day that is not over."""
    return datetime.now(UTC).date()


def _span(first: date, end: date) -> str:
    return f"time >= toDateTime64('{first}', 6, 'UTC') AND time < toDateTime64('{end}', 6, 'UTC')"


def _day(table: str, row: Mapping[str, Any]) -> Day:
    sums = {name: int(row[f"{name}_sum"]) for name in TABLES[table]}
    return Day(table, row["day"], int(row["row_count"]), sums)


def _is_there(path: Path, file: File) -> bool:
    if not path.exists() or path.stat().st_size != file.size_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _write(path: Path, body: bytes) -> None:
    """All of it or nothing, also when the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
