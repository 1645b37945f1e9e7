"""UserAdminService on gRPC."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from auth_service import messages
from auth_service.answers import answer_once
from auth_service.callers import Callers
from auth_service.database import Connection
from auth_service.identity import BadField
from auth_service.messages import refusals
from auth_service.user_admin import Search, UserAdmin
from auth_service.writes import Writes, intent_of
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.identity import Identity

Context = Any  # grpc.aio.ServicerContext of whatever messages
Answer = TypeVar("Answer", bound=Message)

_IS_SUSPENDED: Final = {
    auth_pb2.ACCOUNT_STATUS_UNSPECIFIED: None,
    auth_pb2.ACCOUNT_STATUS_ACTIVE: False,
    auth_pb2.ACCOUNT_STATUS_SUSPENDED: True,
}


class UserAdminServicer(auth_pb2_grpc.UserAdminServiceServicer):
    """The RPCs of auth.proto, whose comments are their documentation."""

    def __init__(self, *, admin: UserAdmin, writes: Writes, callers: Callers) -> None:
        self._admin = admin
        self._writes = writes
        self._callers = callers

    async def ListUsers(
        self, request: auth_pb2.ListUsersRequest, context: Context
    ) -> auth_pb2.ListUsersResponse:
        await self._callers.admin(context)
        with refusals():
            if request.status not in _IS_SUSPENDED:
                raise BadField("status", "This is not a status.")
            search = Search(
                q=request.q,
                role=messages.role_of("role", request.role) if request.role else None,
                is_suspended=_IS_SUSPENDED[request.status],
                page_size=request.page_size,
                page_token=request.page_token,
            )
            found, next_page_token = await self._admin.list(search)
        return auth_pb2.ListUsersResponse(
            users=[messages.user(account) for account in found], next_page_token=next_page_token
        )

    async def GetUser(self, request: auth_pb2.GetUserRequest, context: Context) -> auth_pb2.GetUserResponse:
        await self._callers.admin(context)
        with refusals():
            account = await self._admin.get(messages.an_id("user_id", request.user_id))
        return auth_pb2.GetUserResponse(user=messages.user(account))

    async def SetRole(self, request: auth_pb2.SetRoleRequest, context: Context) -> auth_pb2.SetRoleResponse:
        caller = await self._callers.admin(context)

        async def work(connection: Connection) -> auth_pb2.SetRoleResponse:
            role = messages.role_of("role", request.role)
            if role == "treasury":
                raise BadField("role", "Nobody becomes the treasury.")
            user_id = messages.an_id("user_id", request.user_id)
            account = await self._admin.set_role(connection, caller, user_id, role, request.reason)
            return auth_pb2.SetRoleResponse(user=messages.user(account))

        return await self._once(request, caller, work, auth_pb2.SetRoleResponse)

    async def SuspendUser(
        self, request: auth_pb2.SuspendUserRequest, context: Context
    ) -> auth_pb2.SuspendUserResponse:
        caller = await self._callers.admin(context)

        async def work(connection: Connection) -> auth_pb2.SuspendUserResponse:
            user_id = messages.an_id("user_id", request.user_id)
            account = await self._admin.suspend(connection, caller, user_id, request.reason)
            return auth_pb2.SuspendUserResponse(user=messages.user(account))

        return await self._once(request, caller, work, auth_pb2.SuspendUserResponse)

    async def RestoreUser(
        self, request: auth_pb2.RestoreUserRequest, context: Context
    ) -> auth_pb2.RestoreUserResponse:
        caller = await self._callers.admin(context)

        async def work(connection: Connection) -> auth_pb2.RestoreUserResponse:
            user_id = messages.an_id("user_id", request.user_id)
            account = await self._admin.restore(connection, caller, user_id, request.reason)
            return auth_pb2.RestoreUserResponse(user=messages.user(account))

        return await self._once(request, caller, work, auth_pb2.RestoreUserResponse)

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
