"""Fan-out over WebSocket: one frame to 1,000, 5,000 and 10,000 sockets of one process, beside aiohttp's `send_str` loop
and the `websockets` library's broadcast, which send the very same text.

A frame's time is counted from its publication on the bus (the rivals': from the line that asks for it) to its arrival
at each client's socket, and to the moment when the clients' own process, on the same cores, had read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median, quantiles

from bench.report import Arm, Section
from bench.socket_load import Clients, Load, Receipts
from bench.socket_servers import Ours, Rival, Server, resident_bytes

COUNTS = (1_000, 5_000, 10_000)
FRAMES = 40
WARM_UP_FRAMES = 5
PAUSE_SECONDS = 0.1
FRAME_SECONDS = 20.0
IDLE_SHARE = 10
"""One in so many never reads."""
METRICS = ("median ms", "p99 ms", "last ms", "read ms", "read last", "KiB each")


def section(quick: bool) -> Section:
    counts = (200, 400) if quick else COUNTS
    return Section(
        title="WebSocket fan-out",
        note=(
            "One book change to so many sockets of one process, from its publication to its arrival at each client's "
            "socket; `read`: to when the clients' own Python process, on the same cores, had read it. Memory: the "
            "server's for each, over what it has without any. Some 150 s a run."
        ),
        metrics=METRICS,
        ours=(),
        arms=_arms(counts, 10 if quick else FRAMES),
    )


@contextmanager
def _arms(counts: Sequence[int], frames: int) -> Iterator[Sequence[Arm]]:
    most = counts[-1]
    yield [
        *(
            Arm(f"{name}, {count:,}", partial(_measure, name, count, 0, frames))
            for count in counts
            for name in ("ws_service", "aiohttp", "websockets")
        ),
        Arm(
            f"ws_service, {most:,}, a tenth never reads",
            partial(_measure, "ws_service", most, most // IDLE_SHARE, frames),
        ),
    ]


def _measure(name: str, count: int, idle: int, frames: int) -> Mapping[str, float]:
    """A new server, its clients, some frames."""
    with ExitStack() as stack:
        server: Server = Ours(stack) if name == "ws_service" else Rival(stack, name)
        before = resident_bytes(server)
        clients = Clients(server.port, server.path, count, server.hello, idle, Ours.idle_hello)
        load = stack.enter_context(Load(clients))
        if isinstance(server, Ours):
            server.make_slow(idle)
        receipts = [_one_frame(server, load) for _ in range(WARM_UP_FRAMES + frames)][WARM_UP_FRAMES:]
        if isinstance(server, Ours):
            server.check_slow(idle)
        used = resident_bytes(server) - before
    arrived = [seconds for each in receipts for seconds in each.arrived]
    cuts = quantiles(arrived, n=100)
    figures = (
        cuts[49] * 1e3,
        cuts[98] * 1e3,
        median(each.arrived[-1] for each in receipts) * 1e3,
        median(seconds for each in receipts for seconds in each.read) * 1e3,
        median(each.read[-1] for each in receipts) * 1e3,
        used / count / 1024,
    )
    return dict(zip(METRICS, figures, strict=True))


def _one_frame(server: Server, load: Load) -> Receipts:
    """Seconds until each client had it, in order."""
    time.sleep(PAUSE_SECONDS)
    seq, began = server.send()
    receipts = load.frame(seq, FRAME_SECONDS)
    return Receipts(
        [moment - began for moment in receipts.arrived], [moment - began for moment in receipts.read]
    )
