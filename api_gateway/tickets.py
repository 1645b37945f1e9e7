"""Tickets that let a browser's WebSocket in: single use, short-lived, kept in Redis under their hash.

ws_service takes one with GETDEL. A ticket never outlives the credential it was made from, and carries what is needed
to notice that the credential has ended since.
"""

import hashlib
import secrets
from typing import Final

import orjson
from redis.asyncio import Redis

from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity

TICKET_SECONDS: Final = 30
PREFIX: Final = "ws-ticket:"
_BYTES: Final = 32


class Tickets:
    """Raises redis' errors when Redis is away, which callers see as UNAVAILABLE; so does having none."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    async def issue(self, identity: Identity, now_micros: int) -> tuple[str, int]:
        """The ticket, and when it ends (microseconds since the epoch)."""
        if self._redis is None:
            raise ApiError(ErrorCode.UNAVAILABLE)
        ticket = secrets.token_urlsafe(_BYTES)
        ends_at_seconds = min(now_micros // 1_000_000 + TICKET_SECONDS, identity.expires_at_seconds)
        value = {
            "user_id": identity.user_id,
            "role": identity.role,
            "session_id": identity.session_id,
            "expires_at_seconds": identity.expires_at_seconds,
            "version": identity.version,
        }
        await self._redis.set(key_of(ticket), orjson.dumps(value), ex=TICKET_SECONDS)
        return ticket, ends_at_seconds * 1_000_000


def key_of(ticket: str) -> str:
    """Where it is kept: who reads Redis learns no ticket."""
    return PREFIX + hashlib.sha256(ticket.encode()).hexdigest()
