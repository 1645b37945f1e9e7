"""A market's trades in order, each once. Trade messages chain by `prev_seq`: on a gap the missing ones are read from
the stream, and what is not there either is said to be missing."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.bus_messages import TradeMessage
from ws_service.watched import stop, watched

log = get_logger(__name__)

HELD_MAX = 10_000
Recover = Callable[[str, int, int], Awaitable[list[TradeMessage]]]
"""The trade messages of a market after one event number, up to another; shorter when the stream has no more."""


class TradeChain:
    """`outgoing` are the frames to be sent, in order; `wake` says that there are some."""

    def __init__(
        self, market_id: str, recover: Recover, *, wake: Callable[[], None], on_failure: Callable[[], None]
    ) -> None:
        self.outgoing: deque[bytes] = deque()
        self._market_id = market_id
        self._recover = recover
        self._wake = wake
        self._on_failure = on_failure
        self._seq: int | None = None
        self._held: deque[TradeMessage] = deque(maxlen=HELD_MAX)  # the oldest, forgotten, is read again
        self._recovering: asyncio.Task[None] | None = None

    def begin(self, last_trade_seq: int) -> None:
        """What follows this event is news. Later calls: at least up to there something may be missing."""
        if self._seq is None:
            self._seq = last_trade_seq
            self._replay_held()
        elif last_trade_seq > self._seq and not self._is_recovering():
            self._start_recovering(last_trade_seq)

    def take(self, message: TradeMessage) -> None:
        """A message of the bus."""
        if self._seq is None or self._is_recovering():
            self._held.append(message)
        elif message.prev_seq > self._seq:
            self._held.append(message)
            self._start_recovering(message.prev_seq)
        elif message.seq > self._seq:
            self._send(message)

    async def stop(self) -> None:
        """Ends its task."""
        if self._recovering is not None:
            await stop((self._recovering,))

    def _is_recovering(self) -> bool:
        return self._recovering is not None

    def _start_recovering(self, until_seq: int) -> None:
        name = f"recover {self._market_id}"
        self._recovering = watched(self._recover_until(until_seq), name, self._on_failure)

    async def _recover_until(self, until_seq: int) -> None:
        assert self._seq is not None
        for message in await self._recover(self._market_id, self._seq, until_seq):
            if message.prev_seq <= self._seq < message.seq:
                self._send(message)
        if self._seq < until_seq:
            log.error("trades are missing", market_id=self._market_id, after=self._seq, until=until_seq)
            refusal = ApiError(
                ErrorCode.RESUME_UNAVAILABLE, f"trades of {self._market_id} are missing: read REST"
            )
            self.outgoing.append(frames.error(refusal, None, channel="trades", market_id=self._market_id))
            self._seq = until_seq
        self._recovering = None
        self._replay_held()
        self._wake()

    def _replay_held(self) -> None:
        held = tuple(self._held)
        self._held.clear()
        for message in held:
            self.take(message)

    def _send(self, message: TradeMessage) -> None:
        known, self._seq = self._seq or 0, message.seq
        # What is published again may be cut into messages otherwise: each trade is shown once.
        self.outgoing.extend(
            frames.message("trade", **trade) for trade in message.trades if trade["seq"] > known
        )
        self._wake()
