"""Writes that happen once per idempotency key: the key, the hash of the request and the first answer are stored in
the write's own transaction, so that whatever is lost, the same request again finds out what became of it.

A password in a request is compared by its argon2 hash: a plain one would be guessed from a stolen table.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from google.protobuf.message import Message

from auth_service.database import Connection, Pool, transaction
from auth_service.hashing import BoundedHasher
from auth_service.identity import BadField
from runtime.errors import ApiError, ErrorCode

Result = TypeVar("Result")

KEY_MAX_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Secret:
    """A password that a request asks for, and its hash."""

    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked for, by whom, under which key; without a key it happens each time it is asked for."""

    owner_id: UUID
    key: str
    operation: str
    request_hash: bytes
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """It happened before: what was stored then."""

    answer: bytes


def intent_of(
    request: Message, owner_id: UUID, *, without: tuple[str, ...] = (), secret: Secret | None = None
) -> Intent:
    """Of a request with an `idempotency_key`. `without`: fields that do not make it another request. Raises
    BadField."""
    key: str = request.idempotency_key  # type: ignore[attr-defined]
    if len(key) > KEY_MAX_CHARACTERS or not key.isprintable():
        raise BadField(
            "idempotency_key", f"An idempotency key has at most {KEY_MAX_CHARACTERS} printable characters."
        )
    bare = type(request)()
    bare.CopyFrom(request)
    for field in ("idempotency_key", *without):
        bare.ClearField(field)
    content = bare.SerializeToString(deterministic=True)
    return Intent(owner_id, key, bare.DESCRIPTOR.name, hashlib.sha256(content).digest(), secret)


def owner_of(text: str) -> UUID:
    """Whose keys they are where no account is known: an e-mail address or a token stands for its owner."""
    return uuid5(NAMESPACE_URL, text)


class Writes:
    """Runs a write in a transaction, or finds that it ran before."""

    def __init__(self, pool: Pool, hasher: BoundedHasher) -> None:
        self._pool = pool
        self._hasher = hasher

    async def once(
        self,
        intent: Intent,
        work: Callable[[Connection], Awaitable[Result]],
        *,
        store: Callable[[Result], bytes],
    ) -> Result | Replay:
        """`work`'s result, durable; or what an earlier call stored. Raises IDEMPOTENCY_KEY_REUSED, HashingQueueFull,
        and whatever `work` refuses, in which case nothing is stored."""
        async with transaction(self._pool) as connection:
            first = await _claim(connection, intent) if intent.key else None
            if first is None:
                result = await work(connection)
                if intent.key:
                    await _store(connection, intent, store(result))
                return result
        if not await self._is_same(intent, first):
            raise ApiError(ErrorCode.IDEMPOTENCY_KEY_REUSED)
        return Replay(first.answer)

    async def _is_same(self, intent: Intent, first: "_First") -> bool:
        if (first.operation, first.request_hash) != (intent.operation, intent.request_hash):
            return False
        if intent.secret is None:
            return first.secret_hash is None
        return (await self._hasher.verify(first.secret_hash, intent.secret.text)).is_right


@dataclass(frozen=True, slots=True)
class _First:
    operation: str
    request_hash: bytes
    secret_hash: str | None
    answer: bytes


async def _claim(connection: Connection, intent: Intent) -> _First | None:
    """None: the key is ours. Waits for a transaction under way that has claimed it."""
    is_ours = await connection.fetchval(
        """
        INSERT INTO account_writes (owner_id, key, operation, request_hash, secret_hash) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        intent.owner_id,
        intent.key,
        intent.operation,
        intent.request_hash,
        intent.secret.hash if intent.secret else None,
    )
    if is_ours:
        return None
    row = await connection.fetchrow(
        "SELECT operation, request_hash, secret_hash, answer FROM account_writes WHERE owner_id = $1 AND key = $2",
        intent.owner_id,
        intent.key,
    )
    if row is None:  # its time ran out between the two statements
        raise ApiError(ErrorCode.IDEMPOTENCY_IN_FLIGHT)
    return _First(row["operation"], row["request_hash"], row["secret_hash"], row["answer"])


async def _store(connection: Connection, intent: Intent, answer: bytes) -> None:
    await connection.execute(
        "UPDATE account_writes SET answer = $3 WHERE owner_id = $1 AND key = $2",
        intent.owner_id,
        intent.key,
        answer,
    )
