"""Compares ClickHouse with PostgreSQL: rows, shares, points and fees per table, up to the same event of each market."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from analytics.clickhouse import ClickHouse
from analytics.ingest.tables import TABLES, main_table
from runtime.postgres import Connection
from runtime.topics import Topic

WAIT_SECONDS: Final = 10.0
LOOK_SECONDS_MIN: Final = 0.1
BOUNDS_PER_INSERT: Final = 50_000
READ_SECONDS: Final = 600.0

_FIGURES: Final[Mapping[str, Mapping[str, str]]] = {
    "events": {"rows": "count(*)"},
    "trades": {"rows": "count(*)", "shares": "sum(quantity_micros)"},
    "fills": {
        "rows": "count(*)",
        "shares": "sum(quantity_micros)",
        "points": "sum(cost_micros)",
        "fees": "sum(fee_micros)",
    },
    "trade_ledger": {
        "rows": "count(*)",
        "points moved": "sum(abs(points_micros))",
        "YES moved": "sum(abs(yes_micros))",
        "NO moved": "sum(abs(no_micros))",
    },
}
"""Per table of PostgreSQL, by what they are called."""

_THEIRS: Final = {"events": "market_events", "trade_ledger": "ledger"}
"""What ClickHouse calls them, where it differs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both."""

    what: str
    postgres: int
    clickhouse: int

    @property
    def is_equal(self) -> bool:
        return self.postgres == self.clickhouse


async def reconcile(
    clickhouse: ClickHouse, connection: Connection, *, wait_seconds: float = WAIT_SECONDS
) -> list[Line]:
    """Every figure, of one moment of PostgreSQL; waits so long for ClickHouse to get there, then compares anyway.

    Repeated rows, which reads do not see, count as a break too.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        heads = await connection.fetch(
            """
            SELECT market_id, seq FROM markets UNION ALL SELECT market_id, seq FROM system_streams WHERE seq > 0
            """,
            timeout=READ_SECONDS,
        )
        bounds = {row["market_id"]: row["seq"] for row in heads}
        async with _Bounds(clickhouse, bounds) as table:
            await _until_there(clickhouse, table, len(bounds), wait_seconds)
            return [
                *await _totals(clickhouse, connection, table),
                *await _orders(clickhouse, connection, table),
                *await _chains(clickhouse, table),
                *await _repeats(clickhouse),
            ]


def print_lines(lines: Sequence[Line], console: Console) -> None:
    """A table; what differs is red."""
    table = Table("figure", "PostgreSQL", "ClickHouse", "", title="reconcile", title_justify="left")
    for line in lines:
        verdict = (
            "[green]equal[/]" if line.is_equal else f"[red]differs by {line.clickhouse - line.postgres:,}[/]"
        )
        table.add_row(line.what, f"{line.postgres:,}", f"{line.clickhouse:,}", verdict)
    console.print(table)


class _Bounds:
    """A table for as long as we compare: up to which event of each market."""

    def __init__(self, clickhouse: ClickHouse, bounds: dict[object, int]) -> None:
        self._clickhouse = clickhouse
        self._bounds = list(bounds.items())
        self._name = f"reconcile_bounds_{time.time_ns()}"

    async def __aenter__(self) -> str:
        await self._clickhouse.command(
            f"CREATE TABLE {self._name} (market_id UUID, seq UInt64) ENGINE = Memory"
        )
        for start in range(0, len(self._bounds), BOUNDS_PER_INSERT):
            chunk = self._bounds[start : start + BOUNDS_PER_INSERT]
            await self._clickhouse.insert(self._name, ["market_id", "seq"], list(zip(*chunk, strict=True)))
        return self._name

    async def __aexit__(self, *_: object) -> None:
        await self._clickhouse.command(f"DROP TABLE IF EXISTS {self._name}")


async def _until_there(clickhouse: ClickHouse, bounds: str, markets: int, wait_seconds: float) -> None:
    """Until market-events has every market's last event, and each topic what that one promises."""
    deadline = time.monotonic() + wait_seconds
    while (began := time.monotonic()) < deadline:
        there = await clickhouse.stored_rows(
            f"SELECT count() FROM (SELECT market_id, max(seq) AS last FROM market_events GROUP BY market_id) AS m "
            f"JOIN {bounds} AS b USING (market_id) WHERE m.last >= b.seq"
        )
        if there[0][0] == markets and not await _promised(clickhouse, bounds):
            return
        # What is looked at is being written meanwhile: most of the time is left for that.
        await asyncio.sleep(max(LOOK_SECONDS_MIN, 3 * (time.monotonic() - began)))


async def _promised(clickhouse: ClickHouse, bounds: str) -> int:
    """How many messages of the other topics are still missing, by what market-events says."""
    missing = 0
    for topic in Topic:
        counted = "uniqExact(e.market_id, e.seq)"
        joined = f"AS e JOIN {bounds} AS b USING (market_id) WHERE e.seq <= b.seq"
        rows = await clickhouse.stored_rows(
            f"SELECT (SELECT {counted} FROM market_events {joined} AND has(e.topics, '{topic}')) "
            f"- (SELECT {counted} FROM {main_table(topic).name} {joined})"
        )
        missing += rows[0][0]
    return missing


async def _totals(clickhouse: ClickHouse, connection: Connection, bounds: str) -> list[Line]:
    lines = []
    for table, figures in _FIGURES.items():
        sums, theirs = ", ".join(figures.values()), _THEIRS.get(table, table)
        # The snapshot has no event beyond the bounds, so PostgreSQL needs none.
        expected = await connection.fetchrow(f"SELECT {sums} FROM {table}", timeout=READ_SECONDS)
        found = await clickhouse.stored_rows(
            f"SELECT {sums} FROM {theirs} AS e FINAL JOIN {bounds} AS b USING (market_id) WHERE e.seq <= b.seq"
        )
        assert expected is not None
        for what, postgres, in_clickhouse in zip(figures, expected, found[0], strict=True):
            lines.append(Line(f"{theirs}: {what}", int(postgres or 0), int(in_clickhouse)))
    return lines


async def _orders(clickhouse: ClickHouse, connection: Connection, bounds: str) -> list[Line]:
    """Every order as it stands: the last of its events."""
    ours = await connection.fetchrow(
        """
        SELECT count(*), sum(filled_micros), sum(remaining_micros), sum(cost_micros), sum(fee_micros) FROM orders
        """,
        timeout=READ_SECONDS,
    )
    theirs = await clickhouse.stored_rows(
        f"""
        SELECT count(), sum(filled), sum(remaining), sum(cost), sum(fee) FROM (
            SELECT argMax(filled_micros, e.seq) AS filled, argMax(remaining_micros, e.seq) AS remaining,
                   argMax(cost_micros, e.seq) AS cost, argMax(fee_micros, e.seq) AS fee
            FROM order_events AS e JOIN {bounds} AS b USING (market_id) WHERE e.seq <= b.seq GROUP BY order_id)
        """
    )
    assert ours is not None
    names = ("orders", "filled shares", "open shares", "points", "fees")
    return [
        Line(f"orders: {what}", int(postgres or 0), int(in_clickhouse))
        for what, postgres, in_clickhouse in zip(names, ours, theirs[0], strict=True)
    ]


async def _chains(clickhouse: ClickHouse, bounds: str) -> list[Line]:
    """No event is missing in the middle; each topic has what market-events says it must have."""
    gaps = await clickhouse.stored_rows(
        "SELECT sum(last - events) FROM "
        "(SELECT max(seq) AS last, uniqExact(seq) AS events FROM market_events GROUP BY market_id)"
    )
    return [
        Line("events missing in the middle", 0, int(gaps[0][0] or 0)),
        Line("messages missing in other topics", 0, await _promised(clickhouse, bounds)),
    ]


async def _repeats(clickhouse: ClickHouse) -> list[Line]:
    lines = []
    for table in TABLES:
        rows = await clickhouse.stored_rows(
            f"SELECT (SELECT count() FROM {table.name}) - (SELECT count() FROM {table.name} FINAL)"
        )
        lines.append(Line(f"{table.name}: repeated rows", 0, int(rows[0][0])))
    return lines
