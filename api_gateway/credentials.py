"""/v1/api-keys, /v1/sessions, /v1/ws-tickets: what the caller's other programs get in with."""

from typing import Any

from api_gateway import account_models as models
from api_gateway import shapes
from api_gateway.routing import Answer, Call
from predmarket.auth.v1 import auth_pb2
from runtime.clock import from_rfc3339
from runtime.grpc_client import call as ask


async def list_keys(call: Call) -> Answer:
    """The caller's keys, newest first."""
    answer = await _ask(call, "ListApiKeys", auth_pb2.ListApiKeysRequest())
    return Answer({"items": [shapes.api_key(item) for item in answer.api_keys]})


async def create_key(call: Call) -> Answer:
    """The one answer that has the key itself."""
    body = call.parsed(models.CreateApiKey)
    request = auth_pb2.CreateApiKeyRequest(
        name=body.name,
        scopes=[f"API_KEY_SCOPE_{scope.upper()}" for scope in body.scopes],
        expires_at=from_rfc3339(body.expires_at) if body.expires_at else 0,
        idempotency_key=call.idempotency_key,
    )
    answer = await _ask(call, "CreateApiKey", request)
    document = {**shapes.api_key(answer.api_key), "api_key": answer.secret or None}
    return Answer(document, status=201, replayed=answer.replayed)


async def revoke_key(call: Call) -> Answer:
    """It is refused everywhere within seconds."""
    request = auth_pb2.RevokeApiKeyRequest(api_key_id=call.id(), idempotency_key=call.idempotency_key)
    answer = await _ask(call, "RevokeApiKey", request)
    return Answer(None, status=204, replayed=answer.replayed)


async def list_sessions(call: Call) -> Answer:
    """The caller's open sessions."""
    answer = await _ask(call, "ListSessions", auth_pb2.ListSessionsRequest())
    return Answer({"items": [shapes.session(item) for item in answer.sessions]})


async def revoke_session(call: Call) -> Answer:
    """One session ends."""
    request = auth_pb2.RevokeSessionRequest(session_id=call.id(), idempotency_key=call.idempotency_key)
    answer = await _ask(call, "RevokeSession", request)
    return Answer(None, status=204, replayed=answer.replayed)


async def revoke_sessions(call: Call) -> Answer:
    """All others end, with `current_too` this one as well."""
    query = call.parsed_query(models.SessionsQuery)
    request = auth_pb2.RevokeOtherSessionsRequest(
        current_too=query.current_too == "true", idempotency_key=call.idempotency_key
    )
    answer = await _ask(call, "RevokeOtherSessions", request)
    return Answer({"sessions_ended": answer.sessions_ended}, replayed=answer.replayed)


async def ws_ticket(call: Call) -> Answer:
    """For one WebSocket."""
    assert call.identity is not None
    now_micros = call.clients.clock.now_micros()
    ticket, expires_at_micros = await call.clients.tickets.issue(call.identity, now_micros)
    document = {
        "ticket": ticket,
        "expires_at": shapes.time_of(expires_at_micros),
        "ws_url": call.clients.ws_url or None,
    }
    return Answer(document, status=201)


async def _ask(call: Call, method: str, request: Any) -> Any:
    return await ask(getattr(call.clients.auth, method), request, authorization=call.authorization)
