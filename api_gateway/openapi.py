"""The OpenAPI 3.1 document, made from the routes: what is checked, counted and answered is what is printed."""

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api_gateway.answers.base import Problem
from api_gateway.routing import Access, Bucket, Repeats, Route, Scope
from api_gateway.walkthrough import WALKTHROUGH
from runtime.errors import ErrorCode

API_VERSION: Final = "1.0.0"
REF: Final = "#/components/schemas/{model}"
REASONS: Final = {
    200: "Done.",
    201: "Made.",
    202: "Taken.",
    204: "Done; no content.",
    304: "Not changed since the tag of `If-None-Match`.",
}
AREAS: Final = {
    "system": "The process, its clock and its documents.",
    "accounts": "Registration, sessions, passwords, PKCE.",
    "credentials": "API keys, sessions, tickets for the WebSocket.",
    "markets": "What everybody may read.",
    "analytics": "Figures over time, some moments behind the trades.",
    "trading": "Orders, quotes, sets. Amounts in micros: 1 Point = 1 share = 1,000,000.",
    "portfolio": "What the caller owns, and how it came.",
    "administration": "Administrators only, with access tokens only; every change is in the audit log.",
}
ALWAYS: Final = (
    ErrorCode.MALFORMED_REQUEST,
    ErrorCode.INVALID_ARGUMENT,
    ErrorCode.OVERLOADED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.NOT_SHARD_OWNER,
    ErrorCode.DEADLINE_EXCEEDED,
)
PERMISSIONS: Final = {
    Scope.READ: "Needs a login, or an API key with the scope `read`.",
    Scope.TRADE: "Needs a login, or an API key with the scope `trade`, of a role that trades (`user`, `admin`).",
    Scope.PERSON: "Needs a login; API keys are refused.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document."""
    names, schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Play-Prediction Engine",
            "version": API_VERSION,
            "description": WALKTHROUGH,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in AREAS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, or an API key (`pmk_...`).",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-pm_access",
                    "description": "A browser's session: log in with `cookies`, and repeat `csrf_token` in "
                    "`X-CSRF-Token` with whatever changes something. The gateway renews it by itself.",
                },
            },
        },
    }


def errors_of(route: Route) -> tuple[ErrorCode, ...]:
    """Everything the route may answer that is not a success, each once."""
    found = [*route.errors, *ALWAYS]
    if route.access is not Access.OPEN:
        found.append(ErrorCode.UNAUTHENTICATED)
    if route.scope is not None:
        found.append(ErrorCode.FORBIDDEN)
    if (
        route.access is not Access.OPEN
    ):  # a browser's session may have ended, or another site's page may use it
        found += [ErrorCode.CSRF_REJECTED, ErrorCode.ACCOUNT_SUSPENDED]
    if route.bucket is not Bucket.NONE:
        found.append(ErrorCode.RATE_LIMITED)
    if route.method != "GET":
        found += [ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE]
    if "{" in route.path:
        found.append(ErrorCode.NOT_FOUND)
    return tuple(dict.fromkeys(found))


def operation_id(route: Route) -> str:
    """`get_v1_orders_id`."""
    return f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}"


def _schemas(routes: Sequence[Route]) -> tuple[dict[type[BaseModel], str], dict[str, Any]]:
    """The name of each model, and the schemas by name."""
    wanted: dict[type[BaseModel], Any] = {Problem: "serialization"}
    for route in routes:
        if route.body is not None:
            wanted[route.body] = "validation"
        for answer in route.answers.values():
            if isinstance(answer, type):
                wanted[answer] = "serialization"
    keys, found = models_json_schema(list(wanted.items()), ref_template=REF)
    names = {model: keys[(model, mode)]["$ref"].rpartition("/")[2] for model, mode in wanted.items()}
    return names, found["$defs"]


def _operation(route: Route, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": [route.area],
        "summary": route.summary,
        "description": _description(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": {**_successes(route, names), **_problems(route)},
        "security": _security(route),
    }
    if route.body is not None:
        content: dict[str, Any] = {"schema": _ref(names[route.body])}
        if route.example is not None:
            content["example"] = route.example
        operation["requestBody"] = {
            "required": any(field.is_required() for field in route.body.model_fields.values()),
            "content": {"application/json": content},
        }
    return operation


def _description(route: Route) -> str:
    parts = [route.description]
    if route.access is Access.ADMIN:
        parts.append("For the role `admin`.")
    if route.scope is not None:
        parts.append(PERMISSIONS[route.scope])
    if route.writes:
        parts.append(route.repeats.value)
    if route.bucket is not Bucket.NONE:
        parts.append(f"Counts against the rate limit `{route.bucket.value}`.")
    return " ".join(part for part in parts if part)


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.access is Access.OPEN:
        return []
    known: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]
    return [{}, *known] if route.access is Access.PUBLIC else known


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _without_null(part),
            **({"description": part["description"]} if "description" in part else {}),
        }
        for name, part in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or not; it is never null."""
    kept = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if len(kept) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**kept[0], **rest}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.writes:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 190, "pattern": "^[\\x21-\\x7e]+$"}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]


def _successes(route: Route, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, answer in route.answers.items():
        found[str(status)] = {"description": REASONS[status], "headers": _headers(route)}
        if isinstance(answer, str):
            found[str(status)]["content"] = {answer: {"schema": {"type": "string"}}}
        elif answer is not None:
            found[str(status)]["content"] = {"application/json": {"schema": _ref(names[answer])}}
    if route.access is Access.PUBLIC:
        found["304"] = {"description": REASONS[304]}
    return found


def _headers(route: Route) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    found: dict[str, Any] = {"X-Request-Id": text}
    if route.repeats is Repeats.ONCE:
        found["Idempotency-Replayed"] = {"schema": {"const": "true"}}
    if route.access is Access.PUBLIC:
        found["ETag"] = text
    if route.bucket is not Bucket.NONE:
        found |= {"RateLimit": text, "RateLimit-Policy": text}
    return found


def _problems(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[ErrorCode]] = {}
    for code in errors_of(route):
        by_status.setdefault(code.http_status, []).append(code)
    return {str(status): _problem(status, codes) for status, codes in sorted(by_status.items())}


def _problem(status: int, codes: list[ErrorCode]) -> dict[str, Any]:
    named = {"properties": {"code": {"enum": sorted(map(str, codes))}, "status": {"const": status}}}
    problem: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in sorted(codes)),
        "content": {"application/problem+json": {"schema": {"allOf": [_ref("Problem"), named]}}},
    }
    if status in (429, 503):
        problem["headers"] = {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    return problem


def _ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(model=name)}
