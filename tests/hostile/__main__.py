"""`make hostile COUNT=100000`: that many hostile inputs over all four doors, with all services on embedded servers.

Prints how many each door answered, by code; exits 1 when anything broke or told too much.
"""

import argparse
import asyncio
import sys
from collections import Counter

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.api_gateway.support import UNLIMITED, run_suite
from tests.hostile.campaign import Findings, prepare, throw_all
from tests.servers import Servers, embedded_servers

SHOWN_MAX = 20


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    console = Console(width=140)
    with embedded_servers() as servers:
        findings = asyncio.run(_run(servers, options.count, options.seed, console))
    _show(findings, options.seed, console)
    return 1 if findings.bad or findings.total < options.count else 0


async def _run(servers: Servers, count: int, seed: str, console: Console) -> Findings:
    settings = {
        "redis_url": servers.redis.url,
        "messages_per_second": 10**6,
        "log_level": "ERROR",
        **dict.fromkeys(UNLIMITED, 10**9),
    }
    async with run_suite(servers.database, servers.nats.url, all_settings=settings) as suite:
        target = await prepare(suite)
        with Progress(console=console) as progress:
            task = progress.add_task("answered", total=count)
            return await throw_all(target, count, seed, lambda: progress.advance(task))


def _show(findings: Findings, seed: str, console: Console) -> None:
    table = Table("door", "thrown", "answered", "codes", "turned away", title=f"hostile inputs, seed {seed}")
    for door, codes in findings.answered.items():
        shown, away = _listed(codes), _listed(findings.turned_away[door])
        table.add_row(door, f"{findings.thrown[door]:,}", f"{sum(codes.values()):,}", shown, away)
    console.print(table)
    for line in findings.bad[:SHOWN_MAX]:
        console.print(line, style="red", markup=False)
    console.print(f"{findings.total:,} answered, {len(findings.bad):,} broken")


def _listed(codes: Counter[str]) -> str:
    return ", ".join(f"{code} {number:,}" for code, number in codes.most_common())


if __name__ == "__main__":
    sys.exit(main())
