"""The client offers what the API offers: every route of the OpenAPI document, with every parameter of its query."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from aiohttp import web

from api_gateway.openapi import document
from predmarket_client import ApiError, Client, Pages, limit
from runtime.http_server import HttpServer
from tests.api_gateway.contract import described, route_of

ID: Final = "0191e8a0-0000-7000-8000-000000000001"
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
ORDER: Final = limit("BUY", "YES", ID, price_micros=500_000, quantity_micros=1_000_000)

VALUES: Final[dict[str, Any]] = {
    **dict.fromkeys(
        ("market_id", "order_id", "user_id", "api_key_id", "session_id", "actor_id", "target_id"), ID
    ),
    **dict.fromkeys(("at", "since", "until"), MOMENT),
    "market_ids": [ID],
    "order": ORDER,
    "orders": [ORDER],
    "terms": {"question": "Will it?"},
    "scopes": ["read"],
}
"""Arguments by name; others by their type."""

BY_TYPE: Final[dict[str, Any]] = {"int": 1, "bool": True}

LEFT_OUT: Final = {
    ("GET", "/healthz"): "for whoever runs the engine",
    ("GET", "/readyz"): "for whoever runs the engine",
    ("GET", "/v1/.well-known/jwks.json"): "for services that check tokens",
    ("POST", "/v1/auth/authorize"): "for browsers: an app logs in through the page of another",
    ("POST", "/v1/auth/token"): "for browsers: an app logs in through the page of another",
}
"""Routes without a call, and why."""


class Recorder:
    """A server that refuses everything, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        route = route_of(request.method, request.path)
        assert route is not None, f"{request.method} {request.path} is no route"
        self.asked[route.method, route.path] |= set(request.query)
        problem = {"code": "NOT_FOUND", "status": 404, "detail": "", "trace_id": ""}
        return web.json_response(problem, status=404, content_type="application/problem+json")


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.handle)
    server = HttpServer(app, host="127.0.0.1", port=0, grace_seconds=1)
    await server.start()
    recorder.url = f"http://127.0.0.1:{server.port}"
    yield recorder
    await server.stop()


def calls(client: Client) -> Iterator[Callable[..., Any]]:
    """Every method of the client and of its areas that asks something."""
    yield client.version
    yield client.time
    areas = [area for name, area in vars(client).items() if not name.startswith("_")]
    assert len(areas) >= 8
    for area in areas:
        for name, method in inspect.getmembers(area, inspect.ismethod):
            if not name.startswith("_"):
                yield method


def arguments(method: Callable[..., Any]) -> dict[str, Any]:
    found = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if name in VALUES:
            found[name] = VALUES[name]
            continue
        kind = str(getattr(parameter.annotation, "__name__", parameter.annotation)).split(" | ")[0]
        if parameter.default not in (inspect.Parameter.empty, None):
            found[name] = parameter.default
        else:
            found[name] = BY_TYPE.get(kind, "x")
    return found


async def ask_everything(url: str) -> None:
    async with Client(url, token="pmk_x") as client:
        for method in calls(client):
            result = method(**arguments(method))
            with pytest.raises(ApiError, match="NOT_FOUND"):
                await (result.page("next") if isinstance(result, Pages) else result)


async def test_every_route_has_a_call_and_every_parameter_can_be_given(recorder: Recorder) -> None:
    await ask_everything(recorder.url)
    routes = {(route.method, route.path) for route in described()}
    assert routes - recorder.asked.keys() == LEFT_OUT.keys()
    latest = document(described())
    lacking: dict[tuple[str, str], set[str]] = {}
    for method, path in recorder.asked:
        operation = latest["paths"][path][method.lower()]
        named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        if missing := named - recorder.asked[method, path]:
            lacking[method, path] = missing
    assert not lacking
