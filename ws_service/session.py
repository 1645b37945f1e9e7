"""One client's session: its commands, one after the other, and the limits they keep to."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from runtime.clock import Clock, to_rfc3339
from runtime.errors import ApiError
from runtime.errors import ErrorCode as Code
from runtime.identity import Identity
from runtime.surprises import as_api_error
from ws_service import frames
from ws_service.access import Access
from ws_service.commands import (
    Authenticate,
    Command,
    List,
    Ping,
    Snapshot,
    Subscribe,
    Unsubscribe,
    command_of,
    id_of,
)
from ws_service.hub import Begin, Hub
from ws_service.settings import WsSettings
from ws_service.socket import CLOSE_POLICY, CLOSE_RATE_LIMITED, Socket

PROTOCOL = "predmarket.v1.json"
MESSAGE_MAX_BYTES = 32 * 1024
RATE_WINDOW_SECONDS = 1.0
PREPARED_AT_ONCE = 16
MICROS_PER_SECOND = 1_000_000


class Session:
    """Lives as long as the socket."""

    def __init__(
        self,
        hub: Hub,
        access: Access,
        socket: Socket,
        response: web.WebSocketResponse,
        settings: WsSettings,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._access = access
        self._socket = socket
        self._response = response
        self._settings = settings
        self._clock = clock
        self._came: list[float] = []
        """When the last messages came, no more of them than a second may bring."""

    async def run(self) -> None:
        """Until either side closes."""
        self._greet()
        timer = asyncio.get_running_loop().call_later(
            self._settings.first_command_seconds, self._check_has_begun
        )
        try:
            async for message in self._response:
                if self._socket.is_closing or not await self._take(message):
                    break
        finally:
            timer.cancel()
            await self._socket.closed()

    async def _take(self, message: WSMessage) -> bool:
        """False when the session is over."""
        if self._is_too_fast():
            self._socket.close(CLOSE_RATE_LIMITED, "too many messages")
            return False
        if message.type is WSMsgType.PING:
            await self._response.pong(message.data)
        elif message.type is WSMsgType.BINARY:
            self._socket.close(CLOSE_POLICY, "text frames only")
            return False
        elif message.type is WSMsgType.TEXT:
            await self._obey(message.data)
        return True

    async def _obey(self, text: str) -> None:
        try:
            command = command_of(text)
            await self._answer(command)
        except Exception as error:  # the one place where surprises end; as_api_error logs them
            self._socket.send(frames.error(as_api_error(error), id_of(text)))

    async def _answer(self, command: Command) -> None:
        match command:
            case Subscribe(channel="user"):
                await self._subscribe_user(command)
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case Snapshot():
                for market_id in command.market_ids:
                    self._hub.snapshot(self._socket, market_id)
            case Authenticate():
                await self._authenticate(command)
            case List():
                rows = sorted(self._socket.subscriptions)
                self._say("list", command.id, subscriptions=[_shown(*row) for row in rows])
            case Ping():
                self._say("pong", command.id, time=to_rfc3339(self._clock.now_micros()))

    async def _subscribe(self, command: Subscribe) -> None:
        """All of the markets, or, when one is refused, none that was not followed before."""
        wanted = [
            market_id
            for market_id in dict.fromkeys(command.market_ids)
            if (command.channel, market_id) not in self._socket.subscriptions
        ]
        self._check_room(len(wanted))
        begins, refusal = await self._prepared(command.channel, wanted)
        if refusal is not None:
            for begin in begins:
                begin(None)
            raise refusal
        self._say("subscribed", command.id, channel=command.channel, market_ids=command.market_ids)
        for begin in begins:
            begin(self._socket)

    async def _prepared(
        self, channel: str, market_ids: Sequence[str]
    ) -> tuple[list[Begin], BaseException | None]:
        """A few at once, so that others get their turn; up to the first few of which one is refused, so that names of
        nothing cost little."""
        begins: list[Begin] = []
        for start in range(0, len(market_ids), PREPARED_AT_ONCE):
            part = market_ids[start : start + PREPARED_AT_ONCE]
            outcomes = await asyncio.gather(
                *(self._hub.prepare(channel, market_id) for market_id in part), return_exceptions=True
            )
            begins += [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            if refusals:
                return begins, refusals[0]
        return begins, None

    async def _subscribe_user(self, command: Subscribe) -> None:
        """The own events; who follows them already begins anew where it says."""
        identity = self._identity()
        self._hub.unsubscribe(self._socket, "user", identity.user_id)
        self._check_room(1)
        from_seq, begin = await self._hub.prepare_user(identity.user_id, command.since_user_seq)
        self._say("subscribed", command.id, channel="user", user_seq=from_seq)
        begin(self._socket)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        if command.channel == "user":
            self._hub.unsubscribe(self._socket, "user", self._identity().user_id)
            self._say("unsubscribed", command.id, channel="user")
            return
        for market_id in command.market_ids:
            self._hub.unsubscribe(self._socket, command.channel, market_id)
        self._say("unsubscribed", command.id, channel=command.channel, market_ids=command.market_ids)

    async def _authenticate(self, command: Authenticate) -> None:
        """Also for who has done so before: a newer ticket of the same user lets the socket live on."""
        identity = await self._access.of_ticket(command.ticket)
        known = self._socket.identity
        if known is not None and known.user_id != identity.user_id:
            raise ApiError(Code.FORBIDDEN, "this socket belongs to another user: open another one")
        self._socket.identity, self._socket.api_key = identity, None
        self._say(
            "authenticated",
            command.id,
            user_id=identity.user_id,
            expires_at=to_rfc3339(identity.expires_at_seconds * MICROS_PER_SECOND),
        )

    def _identity(self) -> Identity:
        if self._socket.identity is None:
            raise ApiError(Code.UNAUTHENTICATED)
        return self._socket.identity

    def _check_room(self, more: int) -> None:
        limit = self._settings.subscriptions_max
        if len(self._socket.subscriptions) + more > limit:
            raise ApiError(Code.INVALID_ARGUMENT, f"at most {limit} subscriptions per socket")

    def _greet(self) -> None:
        settings = self._settings
        frame = frames.message(
            "hello",
            protocol=PROTOCOL,
            time=to_rfc3339(self._clock.now_micros()),
            heartbeat_interval_ms=round(settings.heartbeat_seconds * 1_000),
            limits={
                "messages_per_second": settings.messages_per_second,
                "subscriptions": settings.subscriptions_max,
                "message_bytes": MESSAGE_MAX_BYTES,
                "seconds_to_subscribe": settings.first_command_seconds,
                "book_merge_ms": round(settings.merge_seconds * 1_000),
            },
        )
        self._socket.send(frame)

    def _say(self, type_: str, request_id: int | str | None, **fields: Any) -> None:
        self._socket.send(frames.message(type_, id=request_id, **fields))

    def _check_has_begun(self) -> None:
        if not self._socket.subscriptions and self._socket.identity is None:
            self._socket.close(CLOSE_POLICY, "subscribe or authenticate first")

    def _is_too_fast(self) -> bool:
        """A sliding window: never more than the limit in any second."""
        now = asyncio.get_running_loop().time()
        self._came.append(now)
        if len(self._came) <= self._settings.messages_per_second:
            return False
        return now - self._came.pop(0) < RATE_WINDOW_SECONDS


def _shown(channel: str, name: str) -> dict[str, str]:
    """The own events are the socket's owner's, so nobody needs to be named."""
    return {"channel": channel} if channel == "user" else {"channel": channel, "market_id": name}
