"""The memory of one ws_service process over some minutes, while books change and a tenth of its clients never reads:
`python -m bench.socket_soak` (`make soak-sockets`).

Who never reads becomes slow, is closed after half a minute, and as many come anew. Fails when the most memory of the
last fifth is above that of the second fifth by more than a twentieth, or when anything goes wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from bench.report import BenchError
from bench.socket_load import Clients, Load
from bench.socket_servers import Ours, resident_bytes

SECONDS = 300.0
CLIENTS = 2_000
IDLE = CLIENTS // 10
FRAME_SECONDS = 20.0
PAUSE_SECONDS = 0.2
RENEW_SECONDS = 45.0
"""After this long all that never read have been closed."""
SHOWN_SECONDS = 15.0
GROWTH_MAX = 1.05


def soak(seconds: float) -> None:
    """Raises BenchError."""
    with ExitStack() as stack:
        server = Ours(stack)
        clients = Clients(server.port, server.path, CLIENTS, server.hello, IDLE, server.idle_hello)
        load = stack.enter_context(Load(clients))
        early, late = _peaks(server, load, seconds)
    print(f"most memory: {early:.1f} MiB in the second fifth, {late:.1f} MiB in the last")
    if late > early * GROWTH_MAX:
        raise BenchError("memory grows")


def _peaks(server: Ours, load: Load, seconds: float) -> tuple[float, float]:
    """The most memory of the second and of the last fifth, in MiB."""
    began = time.monotonic()
    peaks = [0.0] * 5
    shown, renewals = 0.0, 0
    while (now := time.monotonic() - began) < seconds:
        _some_frames(server, load)
        fifth = int(now / seconds * 5)
        resident = resident_bytes(server) / 2**20
        peaks[fifth] = max(peaks[fifth], resident)
        if now >= (renewals + 1) * RENEW_SECONDS:
            renewals += 1
            _check_closed(server, renewals * IDLE)
            load.renew_idle()
        if now >= shown:
            shown += SHOWN_SECONDS
            print(f"{now:6.0f} s  {resident:7.1f} MiB  {_told(server)}", flush=True)
    return peaks[1], peaks[4]


def _some_frames(server: Ours, load: Load) -> None:
    seq, _ = server.send()
    load.frame(seq, FRAME_SECONDS)
    server.fill()
    time.sleep(PAUSE_SECONDS)


def _check_closed(server: Ours, count: int) -> None:
    closed = server.metric('ws_closed_total{code="4008"}')
    if closed != count:
        raise BenchError(f"{closed:.0f} sockets were closed as slow, not {count}")


def _told(server: Ours) -> str:
    sockets, slow = server.metric("ws_sockets"), server.metric("ws_slow_sockets")
    return f"{sockets:,.0f} sockets, {slow:,.0f} of them slow"


def main() -> int:
    """1 when it failed."""
    parser = argparse.ArgumentParser(prog="bench.socket_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    try:
        soak(parser.parse_args().seconds)
    except BenchError as error:
        print(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
