"""`python -m tests.analytics_soak copy|away`: long runs on servers of their own; exit 1 where something differs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from runtime.logs import configure_logging
from tests.analytics_soak.away import Findings, Phase, clickhouse_away
from tests.analytics_soak.copying import Campaign, Seen, Watch
from tests.analytics_soak.expected import MOMENTS
from tests.servers import embedded_servers

EQUAL_SECONDS_MAX = 10.0
P99_MS_MAX = 200.0

app = typer.Typer(add_completion=False, help=__doc__)


@app.command("copy")
def copy_command(
    trades: Annotated[int, typer.Option(min=1, help="How many trades, at least.")] = 1_000_000,
    kills: Annotated[int, typer.Option(min=2, help="How often analytics is killed.")] = 50,
    seed: Annotated[str, typer.Option(help="Any text.")] = "1",
) -> None:
    """A log of trades copied by a process that is killed at random, over a bus that restarts."""
    console = _quiet_console()
    console.print(f"seed {seed}", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with embedded_servers() as servers, Progress(*columns, console=console) as progress:
        written = progress.add_task("trades in PostgreSQL", total=trades)
        killed = progress.add_task("kills", total=kills)
        behind = progress.add_task("messages behind", total=None)
        watch = Watch(
            trades=lambda count: progress.update(written, completed=count),
            kills=lambda count: progress.update(killed, completed=count),
            behind=lambda count: progress.update(behind, completed=count),
            say=lambda text: progress.console.print(text, highlight=False),
        )
        folder = servers.nats.data_dir.parent / "clickhouse"
        campaign = Campaign(servers.database, servers.nats, folder, seed, watch)
        seen = asyncio.run(campaign.run(trades, kills))
    _show_copy(seen, console)
    raise typer.Exit(1 if seen.different else 0)


@app.command("away")
def away_command(
    seconds: Annotated[float, typer.Option(min=1, help="How long ClickHouse is away.")] = 120.0,
    rate: Annotated[float, typer.Option(min=1, help="Orders per second.")] = 100.0,
) -> None:
    """ClickHouse is killed under load and comes back."""
    console = _quiet_console()
    with embedded_servers() as servers:
        folder = servers.nats.data_dir.parent / "clickhouse"
        running = clickhouse_away(
            servers.database,
            servers.nats.url,
            folder,
            away_seconds=seconds,
            rate=rate,
            say=lambda text: console.print(text, highlight=False),
        )
        findings = asyncio.run(running)
    _show(findings, console)
    raise typer.Exit(1 if _broken(findings, console) else 0)


def _quiet_console() -> Console:
    """What the services say of outages that we made is no news."""
    configure_logging("soak", level="ERROR", form="console")
    return Console()


def _show_copy(seen: Seen, console: Console) -> None:
    console.print(
        f"{seen.trades:,} trades in {seen.events:,} events, written in {seen.written_seconds:.0f} s; "
        f"{seen.kills} kills, {seen.bus_restarts} restart of the bus, groups moved back {seen.moved_back} times\n"
        f"equal {seen.equal_seconds:.0f} s after the last kill, and again {seen.again_seconds:.0f} s after the groups "
        f"went to the start\n{seen.figures} figures, {seen.candles:,} candles and {MOMENTS} past books compared",
        highlight=False,
    )
    for line in seen.different:
        console.print(line, style="red", highlight=False)


def _show(findings: Findings, console: Console) -> None:
    table = Table("ClickHouse", "orders", "p50 ms", "p99 ms")
    for phase, latencies in findings.latencies.items():
        table.add_row(
            phase.value,
            f"{len(latencies):,}",
            f"{findings.p50_ms(phase):.1f}",
            f"{findings.p99_ms(phase):.1f}",
        )
    console.print(table)
    console.print(f"refused orders: {len(findings.refused)}")
    console.print(
        f"equal after {findings.equal_after_seconds:.1f} s (before: {findings.equal_before_seconds:.1f} s)"
    )


def _broken(findings: Findings, console: Console) -> bool:
    broken = list(findings.refused[:5])
    if findings.p99_ms(Phase.AWAY) > max(P99_MS_MAX, 2 * findings.p99_ms(Phase.THERE)):
        broken.append("orders noticed")
    if findings.equal_after_seconds > EQUAL_SECONDS_MAX:
        broken.append(f"not equal within {EQUAL_SECONDS_MAX:g} s")
    for line in broken:
        console.print(line, style="red")
    return bool(broken)


if __name__ == "__main__":
    app()
