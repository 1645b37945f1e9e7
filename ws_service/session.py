"""One client's session: its commands, one after the other, and the limits they keep to."""

import asyncio
from collections import deque

from aiohttp import WSMessage, WSMsgType, web

from runtime.clock import Clock, to_rfc3339
from runtime.errors import ApiError
from runtime.errors import ErrorCode as Code
from runtime.surprises import as_api_error
from ws_service import frames
from ws_service.commands import Command, List, Ping, Snapshot, Subscribe, Unsubscribe, command_of, id_of
from ws_service.hub import Hub
from ws_service.settings import WsSettings
from ws_service.socket import CLOSE_POLICY, CLOSE_RATE_LIMITED, Socket

PROTOCOL = "predmarket.v1.json"
MESSAGE_MAX_BYTES = 32 * 1024
RATE_WINDOW_SECONDS = 1.0


class Session:
    """Lives as long as the socket."""

    def __init__(
        self, hub: Hub, socket: Socket, response: web.WebSocketResponse, settings: WsSettings, clock: Clock
    ) -> None:
        self._hub = hub
        self._socket = socket
        self._response = response
        self._settings = settings
        self._clock = clock
        self._came: deque[float] = deque(maxlen=settings.messages_per_second)

    async def run(self) -> None:
        """Until either side closes."""
        self._greet()
        timer = asyncio.get_running_loop().call_later(
            self._settings.first_command_seconds, self._check_subscribed
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
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                for market_id in command.market_ids:
                    self._hub.unsubscribe(self._socket, command.channel, market_id)
                self._say("unsubscribed", command.id, channel=command.channel, market_ids=command.market_ids)
            case Snapshot():
                for market_id in command.market_ids:
                    self._hub.snapshot(self._socket, market_id)
            case List():
                rows = sorted(self._socket.subscriptions)
                items = [{"channel": channel, "market_id": market_id} for channel, market_id in rows]
                self._say("list", command.id, subscriptions=items)
            case Ping():
                self._say("pong", command.id, time=to_rfc3339(self._clock.now_micros()))

    async def _subscribe(self, command: Subscribe) -> None:
        """All of the markets, or, when one is refused, none that was not followed before."""
        wanted = [
            market_id
            for market_id in dict.fromkeys(command.market_ids)
            if (command.channel, market_id) not in self._socket.subscriptions
        ]
        if len(self._socket.subscriptions) + len(wanted) > self._settings.subscriptions_max:
            limit = self._settings.subscriptions_max
            raise ApiError(Code.INVALID_ARGUMENT, f"at most {limit} subscriptions per socket")
        outcomes = await asyncio.gather(
            *(self._hub.prepare(command.channel, market_id) for market_id in wanted), return_exceptions=True
        )
        refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        begins = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        if refusals:
            for begin in begins:
                begin(None)
            raise refusals[0]
        self._say("subscribed", command.id, channel=command.channel, market_ids=command.market_ids)
        for begin in begins:
            begin(self._socket)

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

    def _say(self, type_: str, request_id: int | str | None, **fields: object) -> None:
        self._socket.send(frames.message(type_, id=request_id, **fields))

    def _check_subscribed(self) -> None:
        if not self._socket.subscriptions:
            self._socket.close(CLOSE_POLICY, "subscribe first")

    def _is_too_fast(self) -> bool:
        """A sliding window: never more than the limit in any second."""
        now = asyncio.get_running_loop().time()
        full = len(self._came) == self._came.maxlen
        too_fast = full and now - self._came[0] < RATE_WINDOW_SECONDS
        self._came.append(now)
        return too_fast
