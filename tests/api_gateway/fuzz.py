"""Requests that schemathesis makes from the OpenAPI document, sent to running services; every answer is checked.

Ids of real things are put in, and half of the bodies (the first one always) are the documents' own examples, so that
handlers are reached and not only their doors.
"""

import json
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api_gateway.routing import Access, Route
from tests.api_gateway.contract import described
from tests.api_gateway.world import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REAL_SHARE = 0.8
EXAMPLE_SHARE = 0.5
SEND_SECONDS = 30


@dataclass
class Report:
    """What was answered, by route, and what was wrong."""

    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Statuses with the codes of problems: `201`, `409 MARKET_NOT_ACTIVE`."""
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(counter.total() for counter in self.answers.values())

    def done(self, name: str) -> int:
        """How many of the route's requests succeeded."""
        return sum(count for answer, count in self.answers[name].items() if answer < "300")

    def lines(self) -> Iterator[str]:
        """The share of 2xx per route."""
        for name, counter in sorted(self.answers.items()):
            share = 100 * self.done(name) // counter.total()
            parts = ", ".join(f"{answer}: {count}" for answer, count in sorted(counter.items()))
            yield f"{name:38} {share:3} % of {counter.total():5}   {parts}"


class Fuzzer:
    """`examples` requests per route and caller; a third of them without a caller where none is needed."""

    def __init__(self, world: World, document: dict[str, Any], *, examples: int, seed: int) -> None:
        self._world = world
        self._examples = examples
        self._random = random.Random(seed)
        self._routes = {(route.method, route.path): route for route in described()}
        self._schema = schemathesis.openapi.from_dict(document)
        self._sent: Counter[tuple[str, str]] = Counter()
        self.report = Report()

    def run(self) -> Report:
        """Every route as every caller. Blocks; the services run elsewhere."""
        for result in self._schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            route = self._routes[operation.method.upper(), operation.path]
            for caller, credential in self._world.credentials.items():
                self._ask(operation, route, caller, credential)
        return self.report

    def _ask(self, operation: Any, route: Route, caller: str, credential: str) -> None:
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        @settings(
            max_examples=self._examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any) -> None:
            self._send(case, route, caller, credential)

        send()

    def _send(self, case: Any, route: Route, caller: str, credential: str) -> None:
        name = f"{route.method} {route.path}"
        is_first = not self._sent[name, caller]
        self._sent[name, caller] += 1
        self._make_real(case, route, caller, always=is_first)
        # What would end the credential's own session is sent without it.
        headers = {} if route.access is Access.OPEN else {"Authorization": f"Bearer {credential}"}
        if route.writes and self._random.random() < REAL_SHARE:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        response = case.call(base_url=self._world.url, headers=headers, timeout=SEND_SECONDS)
        self.report.answers[name][_answer(response)] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except BaseExceptionGroup as group:
            texts = "; ".join(str(error)[:300] for error in group.exceptions)
            self.report.failures.append(f"{name} as {caller}: {response.status_code} {texts}")

    def _make_real(self, case: Any, route: Route, caller: str, *, always: bool) -> None:
        is_real = always or self._random.random() < REAL_SHARE
        if is_real and "{id}" in route.path:
            case.path_parameters = {**case.path_parameters, "id": self._id(route, caller)}
        if route.query is not None:
            case.query = self._query(dict(case.query or {}), route, is_real)
        if route.example is not None and (always or self._random.random() < EXAMPLE_SHARE):
            case.body = self._filled(route.example, route)
        elif is_real and isinstance(case.body, dict):
            case.body = self._filled(case.body, route)

    def _query(self, query: dict[str, Any], route: Route, is_real: bool) -> dict[str, Any]:
        if "current_too" in route.query.model_fields if route.query else ():
            query["current_too"] = "false"
        if is_real:
            query.pop("cursor", None)  # one that nobody gave out
            if "market_id" in query:
                query["market_id"] = self._world.market_for(route)
        return query

    def _id(self, route: Route, caller: str) -> str:
        return self._world.wait_for(self._world.id_for(route, caller))

    def _filled(self, value: Any, route: Route) -> Any:
        if isinstance(value, Mapping):
            return {
                name: self._world.market_id if name == "market_id" else self._filled(part, route)
                for name, part in value.items()
                if name != "client_order_id"  # a second order of that name is another body under the same key
            }
        if isinstance(value, list):
            return [self._filled(part, route) for part in value]
        return self._world.wait_for(self._world.value_for(value, route)) if _is_placeholder(value) else value


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("<") and value.endswith(">")


def _answer(response: Any) -> str:
    if response.status_code < 400:
        return str(response.status_code)
    try:
        return f"{response.status_code} {json.loads(response.content)['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} without a code"
