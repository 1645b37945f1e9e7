"""`make simulate SEED=1 COUNT=1000000`: random commands through `engine` and the naive reference, compared after each.

Two processes share the work; a difference prints the seed of its episode and the commands that led there.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tests.engine.episode import COMMANDS_PER_EPISODE, Difference, play

PROCESSES = 2


def main(
    seed: Annotated[str, typer.Option(help="Any text; the same seed gives the same commands.")] = "1",
    count: Annotated[int, typer.Option(min=1, help="How many commands to run, at least.")] = 1_000_000,
    processes: Annotated[int, typer.Option(min=1, max=64)] = PROCESSES,
) -> None:
    """Run the simulation; exit 1 at the first difference or broken invariant."""
    console = Console()
    hits: Counter[str] = Counter()
    done = 0
    started = time.monotonic()
    columns = (
        TextColumn("commands"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with ProcessPoolExecutor(processes) as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=count)
        seeds = episode_seeds(seed, count)
        running: set[Future[Counter[str] | Difference]] = {
            pool.submit(play, s) for _, s in zip(range(2 * processes), seeds, strict=False)
        }
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                result = future.result()
                if isinstance(result, Difference):
                    pool.shutdown(wait=False, cancel_futures=True)
                    progress.stop()
                    console.print(f"[red]A difference in episode {result.seed}, command {result.index}[/red]")
                    print(result.text)
                    sys.exit(1)
                hits.update(result)
                done += result["commands"]
                progress.update(task, completed=min(done, count))
                running.update(pool.submit(play, s) for _, s in zip(range(1), seeds, strict=False))
    report(console, hits, time.monotonic() - started)


def episode_seeds(seed: str, count: int) -> Iterator[str]:
    for number in range(-(-count // COMMANDS_PER_EPISODE)):
        yield f"{seed}:{number}"


def report(console: Console, hits: Counter[str], seconds: float) -> None:
    table = Table(title="What the commands hit", show_edge=False)
    table.add_column("kind")
    table.add_column("times", justify="right")
    for kind, times in sorted(hits.items()):
        table.add_row(kind, f"{times:,}")
    console.print(table)
    commands = hits["commands"]
    console.print(f"{commands:,} commands in {seconds:.0f} s ({commands / seconds:,.0f}/s), no difference")


if __name__ == "__main__":
    typer.run(main)
