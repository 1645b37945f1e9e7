"""One frame to many sockets: in slices, between which everybody else gets a turn."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from ws_service.socket import Socket

SLICE_SOCKETS = 250


async def in_slices(sockets: Sequence[Socket], write: Callable[[Socket], object]) -> None:
    """Calls `write` with each socket. The bytes of a slice leave when the loop turns, so the first readers do not
    wait for the last."""
    for part in slices(sockets):
        for socket in part:
            write(socket)
        if len(part) == SLICE_SOCKETS:
            await asyncio.sleep(0)


def slices(sockets: Sequence[Socket]) -> Iterator[Sequence[Socket]]:
    """Some hundred at a time."""
    for start in range(0, len(sockets), SLICE_SOCKETS):
        yield sockets[start : start + SLICE_SOCKETS]
