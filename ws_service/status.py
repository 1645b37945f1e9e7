"""Who follows the status of which market; each change is shown once, in the order of the market's events."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from runtime.clock import Clock, to_rfc3339
from ws_service import frames
from ws_service.bus_messages import StatusMessage
from ws_service.metrics import FRAMES
from ws_service.socket import Socket

EVERY = "*"
SEQS_MAX = 100_000


class StatusBoard:
    """Used on the loop's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sockets: defaultdict[str, set[Socket]] = defaultdict(set)
        self._seqs: dict[str, int] = {}

    def follow(self, socket: Socket, market_id: str, present: dict[str, Any] | None) -> None:
        """The present status first, where it is given."""
        self._sockets[market_id].add(socket)
        if present is not None:
            socket.send(frames.message("status", time=to_rfc3339(self._clock.now_micros()), **present))

    def leave(self, socket: Socket, market_id: str) -> None:
        self._sockets[market_id].discard(socket)
        if not self._sockets[market_id]:
            del self._sockets[market_id]

    def take(self, status: StatusMessage) -> None:
        """A message of the bus; one that was shown before changes nothing."""
        known = self._seqs.pop(status.market_id, 0)  # put in again below, as the newest of all
        self._seqs[status.market_id] = max(known, status.seq)
        if status.seq <= known:
            return
        if len(self._seqs) > SEQS_MAX:
            del self._seqs[next(iter(self._seqs))]
        frame = frames.message("status", **status.fields)
        sockets = self._sockets.get(status.market_id, set()) | self._sockets.get(EVERY, set())
        for socket in sockets:
            socket.send(frame)
        FRAMES.labels("status").inc(len(sockets))

    def take_all(self, statuses: Iterable[StatusMessage]) -> None:
        """Read back after the bus was away."""
        for status in statuses:
            self.take(status)
