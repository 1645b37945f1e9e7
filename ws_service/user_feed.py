"""One user's own events, numbered by `user_seq` without gaps, for the sockets of that user.

Events of two shards may come in another order than they are numbered: what comes early is held until what is missing
has come, or was read from the stream. What stays missing is said to be (RESUME_UNAVAILABLE), and the rest goes on.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.bus_messages import UserMessage
from ws_service.metrics import FRAMES, USER_GAPS
from ws_service.socket import CLOSE_INTERNAL, Socket
from ws_service.watched import stop, watched

log = get_logger(__name__)

RESUME_MAX_FRAMES = 800
"""Of events that are told again; who is further behind reads REST. Fits what may wait for one socket."""

AHEAD_SECONDS = 2.0
"""REST may know an event before the bus does: so long it is waited for."""

HELD_MAX = 1_000
FIRST_LOOK_SECONDS = 0.2
LOOK_AGAIN_SECONDS = 0.5
MISSING_SECONDS = 10.0
POLL_SECONDS = 0.05


class UserSource(Protocol):
    """The stream, read back. Both raise UNAVAILABLE."""

    async def last_of_user(self, user_id: str) -> UserMessage | None: ...

    async def of_user(self, user_id: str, after_seq: int, until_seq: int) -> list[UserMessage]: ...


@dataclass(slots=True, eq=False)
class Place:
    """A socket's place in the events: what it is told first, and from which number on."""

    after_seq: int | None
    first: list[bytes] = field(default_factory=list)


class UserFeed:
    """Lives while a socket follows (`pins` counts). Used on the loop's thread only."""

    def __init__(self, user_id: str, source: UserSource) -> None:
        self.user_id = user_id
        self.sockets: dict[Socket, Place] = {}
        self.pins = 0
        self._source = source
        self._is_started = False
        self._seq: int | None = None
        self._early: dict[int, UserMessage] = {}
        self._joining: set[Place] = set()
        self._filling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out where the events are. Raises UNAVAILABLE."""
        newest = await self._source.last_of_user(self.user_id)
        self._is_started = True
        if newest is not None:
            self._seq = newest.last_seq
        heard, self._early = list(self._early.values()), {}
        for message in heard:
            self.on_message(message)

    async def stop(self) -> None:
        """Ends its tasks."""
        await stop(tuple(task for task in (self._filling, self._looking) if task is not None))

    async def place(self, since_seq: int | None) -> Place:
        """Where a follower begins: now, or after `since_seq`. Raises RESUME_UNAVAILABLE, UNAVAILABLE.

        Pass it to `follow` or `let_go`."""
        if since_seq is None or self._seq is None:
            return self._join(since_seq if self._seq is None else self._seq)
        if since_seq > self._seq:
            await self._wait_for(since_seq)
        if since_seq == self._seq:
            return self._join(since_seq)
        return await self._resume(since_seq)

    def follow(self, socket: Socket, place: Place) -> None:
        """What was missed, then what comes."""
        self._joining.discard(place)
        for frame in place.first:
            socket.send(frame)
        place.first = []
        self.sockets[socket] = place

    def let_go(self, place: Place) -> None:
        self._joining.discard(place)

    def on_message(self, message: UserMessage) -> None:
        """A message of the bus."""
        if not self._is_started:
            self._early[message.first_seq] = message
            return
        if self._seq is None:
            # Nothing in the stream: the followers know best where they are.
            claims = [place.after_seq for place in self._places() if place.after_seq is not None]
            self._seq = min([message.first_seq - 1, *claims])
        if message.last_seq <= self._seq:
            return
        self._early[message.first_seq] = message
        self._advance()
        if self._early and (self._filling is None or self._filling.done()):
            self._filling = watched(self._fill(), f"fill {self.user_id}", self._failed)

    def look(self) -> None:
        """The bus was away: what was told meanwhile is in the stream."""
        if self._looking is None or self._looking.done():
            self._looking = watched(self._look(), f"look {self.user_id}", self._failed)

    def _places(self) -> list[Place]:
        return [*self.sockets.values(), *self._joining]

    def _join(self, after_seq: int | None) -> Place:
        place = Place(after_seq)
        self._joining.add(place)
        return place

    async def _wait_for(self, seq: int) -> None:
        try:
            async with asyncio.timeout(AHEAD_SECONDS):
                while self._seq is None or self._seq < seq:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ApiError(
                ErrorCode.RESUME_UNAVAILABLE, f"event {seq} has not happened: read REST and go on from there"
            ) from None

    async def _resume(self, since_seq: int) -> Place:
        assert self._seq is not None
        until_seq = self._seq
        refusal = ApiError(
            ErrorCode.RESUME_UNAVAILABLE, f"events after {since_seq} are no longer here: read REST"
        )
        if until_seq - since_seq > RESUME_MAX_FRAMES:
            raise refusal
        place = self._join(until_seq)  # from here on it gathers what comes
        try:
            messages = await self._source.of_user(self.user_id, since_seq, until_seq)
        except BaseException:
            self.let_go(place)
            raise
        if not messages or messages[-1].last_seq < until_seq:
            self.let_go(place)
            raise refusal
        place.first = [*_continued(messages, since_seq, until_seq), *place.first]
        place.after_seq = since_seq
        return place

    def _advance(self) -> None:
        """What continues the events goes out; what does not waits for what is missing."""
        assert self._seq is not None
        while self._early and min(self._early) <= self._seq + 1:
            self._tell(self._early.pop(min(self._early)))

    def _tell(self, message: UserMessage) -> None:
        assert self._seq is not None
        if message.last_seq <= self._seq:
            return
        news = message.after(self._seq)
        first_seq, self._seq = self._seq + 1, message.last_seq
        for number, frame in enumerate(news, first_seq):
            for socket, place in self.sockets.items():
                if place.after_seq is None or number > place.after_seq:
                    socket.send(frame)
            for place in self._joining:
                if place.after_seq is None or number > place.after_seq:
                    place.first.append(frame)
        FRAMES.labels("user").inc(len(news) * len(self.sockets))

    async def _fill(self) -> None:
        """Until nothing is missing, or it has been missing for too long."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + MISSING_SECONDS
        await asyncio.sleep(FIRST_LOOK_SECONDS)  # the other shard's message is mostly a moment away
        while self._early:
            assert self._seq is not None
            await self._read_missing(self._seq, min(self._early) - 1)
            if self._early and (loop.time() >= give_up_at or len(self._early) > HELD_MAX):
                self._give_up()
                give_up_at = loop.time() + MISSING_SECONDS
            elif self._early:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _read_missing(self, after_seq: int, until_seq: int) -> None:
        if until_seq <= after_seq:
            return
        try:
            for message in await self._source.of_user(self.user_id, after_seq, until_seq):
                self._early[message.first_seq] = message
        except ApiError as error:
            log.info("a user's missing events are not there yet", code=str(error.code))
        self._advance()

    def _give_up(self) -> None:
        assert self._seq is not None
        missing_until = min(self._early) - 1
        log.error("own events are missing", user_id=self.user_id, after=self._seq, until=missing_until)
        USER_GAPS.inc()
        refusal = ApiError(
            ErrorCode.RESUME_UNAVAILABLE, f"events {self._seq + 1} to {missing_until} are missing: read REST"
        )
        frame = frames.error(refusal, None, channel="user")
        for socket in self.sockets:
            socket.send(frame)
        for place in self._joining:
            place.first.append(frame)
        self._seq = missing_until
        self._advance()

    async def _look(self) -> None:
        while True:
            try:
                newest = await self._source.last_of_user(self.user_id)
            except ApiError:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                continue
            if newest is not None:
                self.on_message(newest)
            return

    def _failed(self) -> None:
        """A defect of ours: the readers are told to come back rather than left without news."""
        for socket in self.sockets:
            socket.close(CLOSE_INTERNAL, "internal error")


def _continued(messages: list[UserMessage], after_seq: int, until_seq: int) -> list[bytes]:
    """The frames after one number, up to another."""
    found: list[bytes] = []
    for message in messages:
        news = message.after(after_seq)
        found.extend(news[: max(0, until_seq - message.last_seq + len(news))])
        after_seq = message.last_seq
    return found
