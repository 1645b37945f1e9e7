"""AuthService on gRPC: messages become arguments here, accounts become messages, and refusals get their codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from auth_service import metrics
from auth_service.accounts import Accounts, TokenPair
from auth_service.hashing import HashingQueueFull
from auth_service.identity import BadField
from auth_service.users import Account
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import parse_uuid
from runtime.tokens import Identity, TokenVerifier

SERVICE_NAME = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name

PEOPLE = ("user", "analyst", "admin")
"""Roles that belong to somebody who logged in."""

_ROLES = {
    "user": auth_pb2.ROLE_USER,
    "analyst": auth_pb2.ROLE_ANALYST,
    "admin": auth_pb2.ROLE_ADMIN,
    "treasury": auth_pb2.ROLE_TREASURY,
}

Context = Any  # grpc.aio.ServicerContext of whatever messages


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """The RPCs of auth.proto, whose comments are their documentation."""

    def __init__(self, accounts: Accounts, verifier: TokenVerifier, jwks_json: str) -> None:
        self._accounts = accounts
        self._verifier = verifier
        self._jwks_json = jwks_json

    async def Register(
        self, request: auth_pb2.RegisterRequest, context: Context
    ) -> auth_pb2.RegisterResponse:
        with _refusals():
            account, pair = await self._accounts.register(
                email=request.email,
                password=request.password,
                display_name=request.display_name,
                user_agent=request.user_agent,
            )
        return auth_pb2.RegisterResponse(user=_user(account), tokens=_tokens(pair))

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        with _refusals():
            account, pair = await self._accounts.log_in(
                email=request.email, password=request.password, user_agent=request.user_agent
            )
        return auth_pb2.LogInResponse(user=_user(account), tokens=_tokens(pair))

    async def Refresh(self, request: auth_pb2.RefreshRequest, context: Context) -> auth_pb2.RefreshResponse:
        with _refusals():
            pair = await self._accounts.refresh(request.refresh_token)
        return auth_pb2.RefreshResponse(tokens=_tokens(pair))

    async def LogOut(self, request: auth_pb2.LogOutRequest, context: Context) -> auth_pb2.LogOutResponse:
        session_id = None
        if not request.refresh_token:
            session_id = parse_uuid((await self._person(context)).session_id)
        with _refusals():
            await self._accounts.log_out(refresh_token=request.refresh_token, session_id=session_id)
        return auth_pb2.LogOutResponse()

    async def GetMe(self, request: auth_pb2.GetMeRequest, context: Context) -> auth_pb2.GetMeResponse:
        caller = await self._person(context)
        return auth_pb2.GetMeResponse(user=_user(await self._accounts.me(UUID(caller.user_id))))

    async def UpdateMe(
        self, request: auth_pb2.UpdateMeRequest, context: Context
    ) -> auth_pb2.UpdateMeResponse:
        user_id = UUID((await self._person(context)).user_id)
        with _refusals():
            if request.HasField("display_name"):
                account = await self._accounts.rename_me(user_id, request.display_name)
            else:
                account = await self._accounts.me(user_id)
        return auth_pb2.UpdateMeResponse(user=_user(account))

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(jwks_json=self._jwks_json)

    async def _person(self, context: Context) -> Identity:
        caller = await self._verifier.caller(context)
        caller.require(*PEOPLE)
        return caller


@contextmanager
def _refusals() -> Iterator[None]:
    """What the layers below refuse in their own words, in the words of the protocol."""
    try:
        yield
    except BadField as bad:
        raise ApiError(
            ErrorCode.INVALID_ARGUMENT, bad.message, fields=[FieldError(f"/{bad.field}", bad.message)]
        ) from None
    except HashingQueueFull as full:
        metrics.HASHING_REFUSED.inc()
        raise ApiError(
            ErrorCode.OVERLOADED,
            "Too many passwords are being checked just now: try again shortly.",
            retry_after_ms=full.retry_after_ms,
        ) from None


def _user(account: Account) -> auth_pb2.User:
    suspended, active = auth_pb2.ACCOUNT_STATUS_SUSPENDED, auth_pb2.ACCOUNT_STATUS_ACTIVE
    return auth_pb2.User(
        user_id=str(account.user_id),
        email=account.email,
        display_name=account.display_name,
        role=_ROLES[account.role],
        status=suspended if account.is_suspended else active,
        created_at=account.created_at,
        granted=account.is_granted,
    )


def _tokens(pair: TokenPair) -> auth_pb2.Tokens:
    return auth_pb2.Tokens(
        access_token=pair.access_token,
        access_expires_at=pair.access_expires_at,
        refresh_token=pair.refresh_token,
        refresh_expires_at=pair.refresh_expires_at,
        session_id=str(pair.session_id),
    )
