"""Routes of /v1/api-keys, /v1/sessions, /v1/ws-tickets."""

from typing import Any

from api_gateway import account_models as models
from api_gateway import credentials
from api_gateway.answers import accounts as answers
from api_gateway.routing import Access, Repeats, Route, Scope
from runtime.errors import ErrorCode

AREA = "credentials"


def routes() -> list[Route]:
    """What the caller's other programs get in with."""
    return [*_keys(), *_sessions(), _ticket()]


def _route(method: str, path: str, scope: Scope, **rest: Any) -> Route:
    return Route(method=method, path=path, access=Access.USER, scope=scope, area=AREA, **rest)


def _keys() -> list[Route]:
    return [
        _route(
            "GET",
            "/v1/api-keys",
            Scope.READ,
            handler=credentials.list_keys,
            summary="The caller's API keys, newest first",
            answers={200: answers.ApiKeys},
        ),
        _route(
            "POST",
            "/v1/api-keys",
            Scope.PERSON,
            handler=credentials.create_key,
            summary="A new API key",
            description="`api_key` is in this answer and nowhere else; send it as `Authorization: Bearer`. A replay "
            "has null in its place: revoke the key and make another.",
            repeats=Repeats.ONCE,
            body=models.CreateApiKey,
            answers={201: answers.NewApiKey},
            errors=(
                ErrorCode.TOO_MANY_API_KEYS,
                ErrorCode.ACCOUNT_SUSPENDED,
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
            ),
            example={"name": "my bot", "scopes": ["read", "trade"]},
        ),
        _route(
            "DELETE",
            "/v1/api-keys/{id}",
            Scope.PERSON,
            handler=credentials.revoke_key,
            summary="Ends an API key, within 5 seconds everywhere",
            repeats=Repeats.ONCE,
            answers={204: None},
            errors=(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_KEY_REUSED),
        ),
    ]


def _sessions() -> list[Route]:
    return [
        _route(
            "GET",
            "/v1/sessions",
            Scope.READ,
            handler=credentials.list_sessions,
            summary="The caller's open sessions",
            answers={200: answers.Sessions},
        ),
        _route(
            "DELETE",
            "/v1/sessions/{id}",
            Scope.PERSON,
            handler=credentials.revoke_session,
            summary="Ends a session, within 5 seconds everywhere",
            repeats=Repeats.ONCE,
            answers={204: None},
            errors=(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_KEY_REUSED),
        ),
        _route(
            "DELETE",
            "/v1/sessions",
            Scope.PERSON,
            handler=credentials.revoke_sessions,
            summary="Ends all other sessions of the caller",
            repeats=Repeats.ONCE,
            query=models.SessionsQuery,
            answers={200: answers.SessionsEnded},
            errors=(ErrorCode.IDEMPOTENCY_KEY_REUSED,),
        ),
    ]


def _ticket() -> Route:
    return _route(
        "POST",
        "/v1/ws-tickets",
        Scope.PERSON,
        handler=credentials.ws_ticket,
        summary="A ticket for one WebSocket",
        description="Single use, 30 seconds: send it in the socket's `auth` command. Bots send their credential in the "
        "handshake instead.",
        repeats=Repeats.AGAIN,
        answers={201: answers.Ticket},
    )
