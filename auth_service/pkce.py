"""PKCE (RFC 7636, S256 only): somebody's session allows a client to open a session of its own, by a single-use
code."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from auth_service import sessions, users
from auth_service.database import Connection, Pool, transaction
from auth_service.identity import BadField
from auth_service.pairs import Pairs, TokenPair
from auth_service.refusals import suspended
from auth_service.tokens import AUTHORIZATION_CODE
from auth_service.users import Account
from runtime.clock import from_datetime
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity

CODE_SECONDS: Final = 60
METHOD: Final = "S256"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class Client:
    """A program that asks for a session, and where its codes are sent."""

    client_id: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Code:
    """What Authorize hands out; `expires_at` in microseconds since the Unix epoch."""

    code: str
    expires_at: int


class Pkce:
    """Both halves. `clients`: the redirect URIs of each client, compared character by character."""

    def __init__(self, pool: Pool, pairs: Pairs, clients: Mapping[str, frozenset[str]]) -> None:
        self._pool = pool
        self._pairs = pairs
        self._clients = clients

    async def authorize(self, caller: Identity, client: Client, *, challenge: str, method: str) -> Code:
        """A code for the client. Raises BadField, UNAUTHENTICATED, ACCOUNT_SUSPENDED."""
        redirect_uris = self._clients.get(client.client_id)
        if redirect_uris is None:
            raise BadField("client_id", "There is no such client.")
        if client.redirect_uri not in redirect_uris:
            raise BadField("redirect_uri", "This client has no such redirect URI.")
        if method != METHOD:
            raise BadField("code_challenge_method", "Only S256 is accepted.")
        if not _CHALLENGE.fullmatch(challenge):
            raise BadField("code_challenge", "This is not the base64url of a SHA-256: 43 characters.")
        code = AUTHORIZATION_CODE.new()
        async with transaction(self._pool) as connection:
            await users.lock_caller(connection, caller)
            expires_at = await connection.fetchval(
                """
                INSERT INTO authorization_codes (code_hash, session_id, client_id, redirect_uri, code_challenge,
                                                 expires_at)
                VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) RETURNING expires_at
                """,
                AUTHORIZATION_CODE.hash(code),
                UUID(caller.session_id),
                client.client_id,
                client.redirect_uri,
                challenge,
                CODE_SECONDS,
            )
        return Code(code, from_datetime(expires_at))

    async def exchange(
        self, client: Client, *, code: str, verifier: str, user_agent: str
    ) -> tuple[Account, TokenPair]:
        """A new session. Raises BadField, AUTHORIZATION_CODE_INVALID, ACCOUNT_SUSPENDED."""
        code_hash = AUTHORIZATION_CODE.hash(code)
        if not _VERIFIER.fullmatch(verifier):
            raise BadField("code_verifier", "A verifier has 43 to 128 characters of A-Z a-z 0-9 - . _ ~.")
        async with transaction(self._pool) as connection:
            # A refusal is not raised in here: the code is spent all the same.
            outcome = await self._exchange(connection, client, code_hash, verifier, user_agent)
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    async def _exchange(
        self, connection: Connection, client: Client, code_hash: bytes, verifier: str, user_agent: str
    ) -> tuple[Account, TokenPair] | ApiError:
        # One conditional update decides: of two at once, the second waits here and then finds the code used.
        spent = await connection.fetchrow(
            """
            UPDATE authorization_codes SET used_at = now() WHERE code_hash = $1 AND used_at IS NULL
            RETURNING session_id, client_id, redirect_uri, code_challenge, expires_at > now() AS is_fresh
            """,
            code_hash,
        )
        if spent is None:
            await self._end_opened(connection, code_hash)
            return ApiError(ErrorCode.AUTHORIZATION_CODE_INVALID)
        account = await _account_of_session(connection, spent["session_id"])
        if account is None or not _is_for(spent, client, verifier):
            return ApiError(ErrorCode.AUTHORIZATION_CODE_INVALID)
        if account.is_suspended:
            return suspended()
        why = f"allowed for the client {client.client_id}"
        pair = await self._pairs.open(connection, account, user_agent, why=why)
        await connection.execute(
            "UPDATE authorization_codes SET opened_session_id = $2 WHERE code_hash = $1",
            code_hash,
            pair.session_id,
        )
        return account, pair

    async def _end_opened(self, connection: Connection, code_hash: bytes) -> None:
        """A code that comes twice was stolen, by the first or the second to use it."""
        opened: UUID | None = await connection.fetchval(
            "SELECT opened_session_id FROM authorization_codes WHERE code_hash = $1", code_hash
        )
        if opened is not None:
            why = "its authorization code was used a second time"
            await sessions.end(connection, opened, reason="CODE_REUSED", why=why)


async def _account_of_session(connection: Connection, session_id: UUID) -> Account | None:
    """Locks the account of a session; None when the session is over."""
    user_id: UUID | None = await connection.fetchval(
        "SELECT user_id FROM sessions WHERE session_id = $1", session_id
    )
    account = await users.lock(connection, user_id) if user_id else None
    is_open = await connection.fetchval(
        "SELECT true FROM sessions WHERE session_id = $1 AND revoked_at IS NULL AND expires_at > now()",
        session_id,
    )
    return account if is_open else None


def _is_for(spent: asyncpg.Record, client: Client, verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return (
        spent["is_fresh"]
        and hmac.compare_digest(spent["code_challenge"], challenge)
        and (spent["client_id"], spent["redirect_uri"]) == (client.client_id, client.redirect_uri)
    )
