"""Holds answers of a running gateway to what its documents say: status, media type, shape, error code."""

import re
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from api_gateway.answers.base import Problem
from api_gateway.openapi import errors_of
from api_gateway.routes import all_routes
from api_gateway.routing import Route


@cache
def routes() -> tuple[Route, ...]:
    return tuple(all_routes(lambda: True))


def described() -> list[Route]:
    """Those of the documents."""
    return [route for route in routes() if route.area != "documents"]


@cache
def route_of(method: str, path: str) -> Route | None:
    """A path without parameters goes before one that has some, as in the router. None: no such route."""
    found = [
        route
        for route in routes()
        if route.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path)
    ]
    return min(found, key=lambda route: route.path.count("{"), default=None)


def check(method: str, path: str, status: int, content_type: str, body: Any) -> None:
    """Raises AssertionError or pydantic's ValidationError."""
    route = route_of(method, path.partition("?")[0])
    if route is None:
        assert status in (404, 405), (method, path, status)
    elif status >= 400:
        assert content_type.startswith("application/problem+json"), (method, path, content_type)
        problem = Problem.model_validate(body)
        codes = {str(code) for code in errors_of(route) if code.http_status == status}
        assert problem.code in codes, (method, path, status, problem.code, sorted(codes))
        assert problem.status == status
    elif status != 304 and route.area != "documents":
        assert status in route.answers, (method, path, status)
        _check_success(route, status, content_type, body)


def _check_success(route: Route, status: int, content_type: str, body: Any) -> None:
    model = route.answers[status]
    if model is None:
        assert body is None, (route.path, body)
    elif isinstance(model, type):
        assert content_type == "application/json", (route.path, content_type)
        TypeAdapter(model).validate_python(body)
