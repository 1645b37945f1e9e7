"""`python -m bench [--quick] [--runs N] [--only SECTION ...]`: exits 1 when any answer was an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from bench import (
    candles,
    copying,
    durable_orders,
    engines,
    fan_out,
    hot_market,
    large_markets,
    log_in_flood,
    open_loop,
    optimistic,
    quotes,
    rest,
    ticker_latency,
)
from bench.report import BenchError, Measured, Section, measure, write_json

RUNS = 5
WIDTH = 140

SECTIONS: dict[str, Callable[[bool], Section]] = {
    "engine": engines.section,
    "hot_market": hot_market.section,
    "orders": durable_orders.section,
    "open_loop": open_loop.section,
    "rest": rest.section,
    "rest_open_loop": rest.open_loop_section,
    "fan_out": fan_out.section,
    "ticker": ticker_latency.section,
    "log_in_flood": log_in_flood.section,
    "restart": large_markets.restart_section,
    "settlement": large_markets.settlement_section,
    "quotes": quotes.section,
    "copying": copying.section,
    "candles": candles.section,
    "memory": rest.memory_section,
    "optimistic": optimistic.section,
}
DEFAULT = tuple(name for name in SECTIONS if name != "optimistic")
"""`optimistic` is the rival without us, for work on the rival; hot_market has it too."""


def main() -> int:
    """Every section that was asked for, a table each, and one JSON file."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=None, help=f"interleaved runs, default {RUNS} (1 with --quick)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small loads: whether it works, not how fast it is"
    )
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), default=DEFAULT)
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else RUNS)
    console = Console(width=WIDTH)
    done: list[Measured] = []
    try:
        for name in options.only:
            done.append(measure(SECTIONS[name](options.quick), runs, console))
    except BenchError as error:
        console.print(f"[bold red]failed:[/bold red] {error}", markup=True, highlight=False)
        return 1
    path = write_json(done, runs, options.quick)
    console.print(f"Written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
