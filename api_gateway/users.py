"""/v1/admin/users: accounts of others."""

from typing import Any

from api_gateway import admin_models as models
from api_gateway import shapes
from api_gateway.routing import Answer, Call
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.grpc_client import call as ask


async def listed(call: Call) -> Answer:
    """Newest first."""
    page = call.parsed_query(models.UsersPage)
    request = auth_pb2.ListUsersRequest(
        q=page.q or "",
        role=f"ROLE_{(page.role or 'unspecified').upper()}",
        status=f"ACCOUNT_STATUS_{page.status or 'UNSPECIFIED'}",
        page_size=page.limit,
        page_token=page.cursor or "",
    )
    answer = await _ask(call, "ListUsers", request)
    items = [shapes.user(item) for item in answer.users]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def one(call: Call) -> Answer:
    """One account."""
    answer = await _ask(call, "GetUser", auth_pb2.GetUserRequest(user_id=call.id(ErrorCode.USER_NOT_FOUND)))
    return Answer(shapes.user(answer.user))


async def set_role(call: Call) -> Answer:
    """Another role, in effect within seconds."""
    user_id, body = call.id(ErrorCode.USER_NOT_FOUND), call.parsed(models.SetRole)
    request = auth_pb2.SetRoleRequest(
        user_id=user_id,
        role=f"ROLE_{body.role.upper()}",
        reason=body.reason,
        idempotency_key=call.idempotency_key,
    )
    return _changed(await _ask(call, "SetRole", request))


async def suspend(call: Call) -> Answer:
    """No log-in, no tokens, no open orders."""
    user_id, body = call.id(ErrorCode.USER_NOT_FOUND), call.parsed(models.Suspension)
    request = auth_pb2.SuspendUserRequest(
        user_id=user_id, reason=body.reason, idempotency_key=call.idempotency_key
    )
    return _changed(await _ask(call, "SuspendUser", request))


async def restore(call: Call) -> Answer:
    """In use again."""
    user_id, body = call.id(ErrorCode.USER_NOT_FOUND), call.parsed(models.Suspension)
    request = auth_pb2.RestoreUserRequest(
        user_id=user_id, reason=body.reason, idempotency_key=call.idempotency_key
    )
    return _changed(await _ask(call, "RestoreUser", request))


def _changed(answer: Any) -> Answer:
    return Answer(shapes.user(answer.user), replayed=answer.replayed)


async def _ask(call: Call, method: str, request: Any) -> Any:
    return await ask(getattr(call.clients.user_admin, method), request, authorization=call.authorization)
