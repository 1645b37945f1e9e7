"""Who a client is: by a ticket, or by the `Authorization` of its handshake; and whether that still holds.

A ticket is stored in Redis under its digest by whoever gave it out, with what its owner's session says, and is good
once: it is taken and deleted in one step.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from runtime.errors import ApiError, ErrorCode
from runtime.identity import READ, Identity
from runtime.logs import get_logger
from runtime.surprises import as_api_error
from runtime.tokens import TokenVerifier, is_api_key
from ws_service.fan_out import slices
from ws_service.socket import CLOSE_AUTH_EXPIRED, Socket

log = get_logger(__name__)

TICKET_KEY: Final = "ws-ticket:"
REDIS_SECONDS: Final = 1.0
REDIS_CONNECTIONS: Final = 20
LOOK_SECONDS: Final = 1.0


class _Ticket(msgspec.Struct, frozen=True):
    """What was stored. `expires_at_seconds`: when the session's access token expires (Unix time)."""

    user_id: str
    role: str
    session_id: str
    expires_at_seconds: int
    version: int = 0


class Access:
    """Of all sockets of this process."""

    def __init__(self, verifier: TokenVerifier, redis_url: str) -> None:
        self._verifier = verifier
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            max_connections=REDIS_CONNECTIONS,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def of_header(self, authorization: str) -> Identity:
        """Of a handshake. Raises UNAUTHENTICATED, FORBIDDEN (an API key that may not read), UNAVAILABLE."""
        identity = await self._verifier.identity(authorization)
        identity.require_scope(READ)
        return identity

    async def of_ticket(self, ticket: str) -> Identity:
        """Raises UNAUTHENTICATED, UNAVAILABLE."""
        stored = await self._take(TICKET_KEY + hashlib.sha256(ticket.encode()).hexdigest())
        if stored is None:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "the ticket is unknown, used, or older than 30 s")
        try:
            found = msgspec.json.decode(stored, type=_Ticket)
        except msgspec.DecodeError as error:
            log.error("a ticket does not fit", error=str(error))
            raise ApiError(ErrorCode.UNAUTHENTICATED) from None
        identity = Identity(
            user_id=found.user_id,
            role=found.role,
            session_id=found.session_id,
            token_id="",
            expires_at_seconds=found.expires_at_seconds,
            version=found.version,
        )
        if not self._verifier.still_holds(identity):
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return identity

    async def watch(self, sockets: Callable[[], Iterable[Socket]]) -> None:
        """For ever: whose credential has expired or ended is closed with 4001."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for part in slices(tuple(sockets())):
                for socket in part:
                    if socket.identity is not None and not await self._holds(socket, socket.identity):
                        socket.close(CLOSE_AUTH_EXPIRED, "credentials have ended")
                await asyncio.sleep(0)

    async def _holds(self, socket: Socket, identity: Identity) -> bool:
        if not self._verifier.still_holds(identity):
            return False
        if socket.api_key is None:
            return True
        try:
            await self.of_header(socket.api_key)
        except ApiError as error:
            return error.code not in (ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN)
        return True

    async def _take(self, key: str) -> bytes | None:
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                stored: Any = await self._redis.getdel(key)
                return None if stored is None else bytes(stored)
        except Exception as error:  # as_api_error says which are Redis being away
            raise as_api_error(error) from None


def api_key_of(authorization: str) -> str | None:
    """The header, when it carries an API key."""
    return authorization if is_api_key(authorization.partition(" ")[2]) else None
