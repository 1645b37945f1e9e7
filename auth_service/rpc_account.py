"""AuthService on gRPC: one's own account, sessions, API keys and password."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from auth_service import api_keys, messages, sessions, users
from auth_service.answers import answer_once
from auth_service.database import Connection, borrowed
from auth_service.messages import refusals
from auth_service.rpc_parts import AuthRpcs
from auth_service.sessions import Ending
from auth_service.tokens import RESET_TOKEN
from auth_service.writes import Replay, intent_of, owner_of
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity

Context = Any  # grpc.aio.ServicerContext of whatever messages
Answer = TypeVar("Answer", bound=Message)


class AccountRpcs(AuthRpcs):
    """What belongs to the caller."""

    async def GetMe(self, request: auth_pb2.GetMeRequest, context: Context) -> auth_pb2.GetMeResponse:
        caller = await self._callers.reader(context)
        return auth_pb2.GetMeResponse(user=messages.user(await self._accounts.me(UUID(caller.user_id))))

    async def UpdateMe(
        self, request: auth_pb2.UpdateMeRequest, context: Context
    ) -> auth_pb2.UpdateMeResponse:
        caller = await self._callers.person(context)

        async def work(connection: Connection) -> auth_pb2.UpdateMeResponse:
            if request.HasField("display_name"):
                account = await self._accounts.rename(connection, caller, request.display_name)
            else:
                account = await users.lock_caller(connection, caller)
            return auth_pb2.UpdateMeResponse(user=messages.user(account))

        return await self._once(request, caller, work, auth_pb2.UpdateMeResponse)

    async def ListSessions(
        self, request: auth_pb2.ListSessionsRequest, context: Context
    ) -> auth_pb2.ListSessionsResponse:
        caller = await self._callers.reader(context)
        async with borrowed(self._pool) as connection:
            found = await sessions.list_open(connection, UUID(caller.user_id))
        return auth_pb2.ListSessionsResponse(
            sessions=[messages.session(each, current=caller.session_id) for each in found]
        )

    async def RevokeSession(
        self, request: auth_pb2.RevokeSessionRequest, context: Context
    ) -> auth_pb2.RevokeSessionResponse:
        caller = await self._callers.person(context)

        async def work(connection: Connection) -> auth_pb2.RevokeSessionResponse:
            session_id = messages.an_id("session_id", request.session_id)
            await users.lock_caller(connection, caller)
            if not await sessions.is_of(connection, session_id, UUID(caller.user_id)):
                raise ApiError(ErrorCode.NOT_FOUND, "You have no session with this id.")
            await sessions.end(connection, session_id, reason="REVOKED", why="ended by its owner")
            return auth_pb2.RevokeSessionResponse()

        return await self._once(request, caller, work, auth_pb2.RevokeSessionResponse)

    async def RevokeOtherSessions(
        self, request: auth_pb2.RevokeOtherSessionsRequest, context: Context
    ) -> auth_pb2.RevokeOtherSessionsResponse:
        caller = await self._callers.person(context)

        async def work(connection: Connection) -> auth_pb2.RevokeOtherSessionsResponse:
            await users.lock_caller(connection, caller)
            user_id = UUID(caller.user_id)
            ending = Ending(user_id, "REVOKED", "ended by its owner")
            but = None if request.current_too else UUID(caller.session_id)
            ended = await sessions.end_all(connection, user_id, ending, but=but)
            return auth_pb2.RevokeOtherSessionsResponse(sessions_ended=ended)

        return await self._once(request, caller, work, auth_pb2.RevokeOtherSessionsResponse)

    async def CreateApiKey(
        self, request: auth_pb2.CreateApiKeyRequest, context: Context
    ) -> auth_pb2.CreateApiKeyResponse:
        caller = await self._callers.person(context)

        async def work(connection: Connection) -> auth_pb2.CreateApiKeyResponse:
            key, secret = await self._api_keys.create(
                connection,
                caller,
                name=request.name,
                scopes=messages.scopes_of(request.scopes),
                expires_at=request.expires_at,
            )
            return auth_pb2.CreateApiKeyResponse(api_key=messages.api_key(key), secret=secret)

        return await self._once(request, caller, work, auth_pb2.CreateApiKeyResponse)

    async def ListApiKeys(
        self, request: auth_pb2.ListApiKeysRequest, context: Context
    ) -> auth_pb2.ListApiKeysResponse:
        caller = await self._callers.reader(context)
        async with borrowed(self._pool) as connection:
            found = await api_keys.list_live(connection, UUID(caller.user_id))
        return auth_pb2.ListApiKeysResponse(api_keys=[messages.api_key(key) for key in found])

    async def RevokeApiKey(
        self, request: auth_pb2.RevokeApiKeyRequest, context: Context
    ) -> auth_pb2.RevokeApiKeyResponse:
        caller = await self._callers.person(context)

        async def work(connection: Connection) -> auth_pb2.RevokeApiKeyResponse:
            await self._api_keys.revoke(connection, caller, messages.an_id("api_key_id", request.api_key_id))
            return auth_pb2.RevokeApiKeyResponse()

        return await self._once(request, caller, work, auth_pb2.RevokeApiKeyResponse)

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Context
    ) -> auth_pb2.ChangePasswordResponse:
        caller = await self._callers.person(context)
        with refusals():
            intent = intent_of(request, UUID(caller.user_id), without=("current_password", "new_password"))
            ended = await self._passwords.change(
                caller, current=request.current_password, new=request.new_password, intent=intent
            )
        count, replayed = _ended(ended)
        return auth_pb2.ChangePasswordResponse(sessions_ended=count, replayed=replayed)

    async def ForgotPassword(
        self, request: auth_pb2.ForgotPasswordRequest, context: Context
    ) -> auth_pb2.ForgotPasswordResponse:
        with refusals():
            self._passwords.forget(request.email)
        return auth_pb2.ForgotPasswordResponse()

    async def ResetPassword(
        self, request: auth_pb2.ResetPasswordRequest, context: Context
    ) -> auth_pb2.ResetPasswordResponse:
        with refusals():
            owner_id = owner_of(f"reset:{RESET_TOKEN.hash(request.token).hex()}")
            intent = intent_of(request, owner_id, without=("token", "new_password"))
            ended = await self._passwords.reset(request.token, new=request.new_password, intent=intent)
        count, replayed = _ended(ended)
        return auth_pb2.ResetPasswordResponse(sessions_ended=count, replayed=replayed)

    async def _once(
        self,
        request: Any,
        caller: Identity,
        work: Callable[[Connection], Awaitable[Answer]],
        answer_class: type[Answer],
    ) -> Answer:
        with refusals():
            intent = intent_of(request, UUID(caller.user_id))
            return await answer_once(self._writes, intent, work, answer_class)


def _ended(outcome: int | Replay) -> tuple[int, bool]:
    """How many sessions, and whether an earlier call ended them."""
    return (int(outcome.answer), True) if isinstance(outcome, Replay) else (outcome, False)
