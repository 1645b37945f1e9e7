"""`make limits COUNT=100000`: that many requests at four gateway processes that share one Redis, over several windows.

Prints, for each limit, how much was admitted and the most in any window; exits 1 when that was one too many.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from statistics import mean

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.limits.campaign import Findings, gateways, throw_all
from tests.servers import Servers, embedded_servers

GATEWAYS = 4
REQUESTS_PER_SECOND = 450
"""So that a hundred thousand take several windows; far more than all limits together admit."""


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="tests.limits", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    console = Console(width=140)
    with embedded_servers() as servers:
        findings = asyncio.run(_run(servers, options.count, options.seed, console))
    _show(findings, options.count, options.seed, console)
    return 1 if findings.broken() else 0


async def _run(servers: Servers, count: int, seed: str, console: Console) -> Findings:
    running = gateways(servers.database, servers.nats.url, servers.redis.url, GATEWAYS)
    async with running as (suite, urls):
        with Progress(console=console) as progress:
            task = progress.add_task("answered", total=count)
            seconds = count / REQUESTS_PER_SECOND
            return await throw_all(
                suite, urls, count, seed, seconds=seconds, on_answer=lambda: progress.advance(task)
            )


def _show(findings: Findings, count: int, seed: str, console: Console) -> None:
    table = Table(
        "bucket",
        "tier",
        "callers",
        "limit",
        "requests",
        "admitted",
        "most in any window",
        title=f"seed {seed}",
    )
    groups = defaultdict(list)
    for name, tier, bucket in findings.admitted:
        groups[str(bucket), tier].append((name, tier, bucket))
    for (bucket_name, tier), members in sorted(groups.items()):
        mosts = [findings.most(*member) for member in members]
        admitted = sum(len(findings.admitted[member]) for member in members)
        requests = admitted + sum(findings.refused[member] for member in members)
        table.add_row(
            bucket_name,
            tier,
            str(len(members)),
            str(mosts[0][1]),
            f"{requests:,}",
            f"{admitted:,}",
            " ".join(str(most) for most, _ in mosts),
        )
    console.print(table)
    took = mean(each.answered_at - each.asked_at for all_of in findings.admitted.values() for each in all_of)
    console.print(
        f"{count:,} requests at {GATEWAYS} gateways in {findings.seconds:.0f} s; "
        f"an admission is known to {1_000 * took:.0f} ms on average"
    )
    for line in findings.broken()[:20]:
        console.print(line, style="red", markup=False)


if __name__ == "__main__":
    sys.exit(main())
