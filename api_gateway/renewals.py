"""One rotation for all requests that come with the same refresh token, whichever gateway process they reach.

Who gets the lock in Redis asks auth_service and leaves the next tokens there for a moment; the others take them. What
lies in Redis is encrypted with a key made from the refresh token that was used: who reads Redis learns nothing, and who
could decrypt it holds the session anyway. A refresh token works once, so an outcome that stays unknown (auth_service or
this process died in between) ends the session: its owner logs in again.
"""

import asyncio
import contextvars
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call as ask

RESULT_SECONDS: Final = 30
"""Requests that were under way with the old cookies come within it."""

LOCK_SECONDS: Final = 10
WAIT_SECONDS: Final = 8.0
POLL_SECONDS: Final = 0.03
_NONCE_BYTES: Final = 12
_UNLOCK: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Renewed(msgspec.Struct, frozen=True):
    """The next tokens, or the code of the refusal. Times in microseconds since the epoch."""

    access_token: str = ""
    access_expires_at: int = 0
    refresh_token: str = ""
    refresh_expires_at: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the outcome of one refresh token is kept, and what it is encrypted with."""

    lock: str
    result: str
    key: bytes

    @classmethod
    def of(cls, refresh_token: str) -> "_Place":
        name = hashlib.sha256(b"name:" + refresh_token.encode()).hexdigest()
        key = hashlib.sha256(b"key:" + refresh_token.encode()).digest()
        return cls(f"session-renewal-lock:{name}", f"session-renewal:{name}", key)


class Renewals:
    """`redis` None: only the requests of this process share a rotation."""

    def __init__(self, redis: Redis | None, auth: auth_pb2_grpc.AuthServiceStub) -> None:
        self._redis = redis
        self._auth = auth
        self._under_way: dict[str, asyncio.Task[Renewed]] = {}

    async def renew(self, refresh_token: str) -> Renewed:
        """The next tokens. Raises the refusal (REFRESH_TOKEN_INVALID, ACCOUNT_SUSPENDED), or UNAVAILABLE."""
        task = self._under_way.get(refresh_token)
        if task is None:
            # In a context of its own: what comes of it is for many requests, whose deadlines differ.
            task = asyncio.create_task(
                self._renewed(refresh_token), name="session renewal", context=contextvars.Context()
            )
            self._under_way[refresh_token] = task
            task.add_done_callback(lambda _: self._under_way.pop(refresh_token, None))
        # A client that leaves must not end what others wait for, nor lose tokens that were just made.
        renewed = await asyncio.shield(task)
        if renewed.refusal:
            raise ApiError(ErrorCode[renewed.refusal])
        return renewed

    async def close(self) -> None:
        """Waits for what is under way: tokens that nobody keeps would end their session."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _renewed(self, refresh_token: str) -> Renewed:
        if self._redis is None:
            return await self._rotate(refresh_token)
        place, owner = _Place.of(refresh_token), secrets.token_hex(16)
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                if (sealed := await self._redis.get(place.result)) is not None:
                    return _opened(sealed, place.key)
                if await self._redis.set(place.lock, owner, nx=True, ex=LOCK_SECONDS):
                    return await self._as_owner(self._redis, refresh_token, place, owner)
                await asyncio.sleep(POLL_SECONDS)

    async def _as_owner(self, redis: Redis, refresh_token: str, place: _Place, owner: str) -> Renewed:
        try:
            # The one before may have finished between our two questions.
            if (sealed := await redis.get(place.result)) is not None:
                return _opened(sealed, place.key)
            renewed = await self._rotate(refresh_token)
            with suppress(RedisError):  # who waits here has them all the same
                await redis.set(place.result, _sealed(renewed, place.key), ex=RESULT_SECONDS)
            return renewed
        finally:  # also when auth_service is away: the next request is told so at once, too
            with suppress(RedisError):
                await redis.eval(_UNLOCK, 1, place.lock, owner)

    async def _rotate(self, refresh_token: str) -> Renewed:
        try:
            answer = await ask(self._auth.Refresh, auth_pb2.RefreshRequest(refresh_token=refresh_token))
        except ApiError as error:
            if error.code is ErrorCode.ACCOUNT_SUSPENDED:
                return Renewed(refusal=str(error.code))
            if error.code in (ErrorCode.REFRESH_TOKEN_INVALID, ErrorCode.INVALID_ARGUMENT):
                return Renewed(refusal=str(ErrorCode.REFRESH_TOKEN_INVALID))
            raise
        tokens = answer.tokens
        return Renewed(
            tokens.access_token, tokens.access_expires_at, tokens.refresh_token, tokens.refresh_expires_at
        )


def _sealed(renewed: Renewed, key: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(renewed), None)


def _opened(sealed: bytes | str, key: bytes) -> Renewed:
    assert isinstance(sealed, bytes), "this client decodes nothing"
    try:
        text = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except InvalidTag:  # somebody wrote into our Redis
        raise ApiError(ErrorCode.UNAVAILABLE) from None
    return msgspec.json.decode(text, type=Renewed)
