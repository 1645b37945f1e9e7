"""Keys of writes: every route of the registry, sent again and sent with another body."""

import asyncio
import uuid
from typing import Any

import pytest

from api_gateway.catalogue.accounts import PASSWORD
from api_gateway.routing import Access, Repeats, Route
from tests.api_gateway.contract import described
from tests.api_gateway.support import POINT, Reply, Suite, User
from tests.api_gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUY = {"side": "BUY", "outcome": "YES", "type": "LIMIT", "price_micros": 100_000, "quantity_micros": POINT}
# What the second body says otherwise. Routes that are not here have an id in their path: another id is another request.
OTHERWISE: dict[str, dict[str, Any]] = {
    "POST /v1/auth/register": {"display_name": "Somebody else"},
    "POST /v1/auth/password/change": {"new_password": PASSWORD + " of yesterday"},
    "POST /v1/auth/password/reset": {"new_password": PASSWORD + " of tomorrow"},
    "PATCH /v1/me": {"display_name": "Somebody else"},
    "POST /v1/api-keys": {"scopes": ["read"]},
    "POST /v1/orders": {"price_micros": 110_000},
    "PATCH /v1/orders/{id}": {"quantity_micros": 2 * POINT},
    "POST /v1/orders/batch": {"orders": [{**BUY, "price_micros": 110_000, "market_id": "<market_id>"}]},
    "POST /v1/markets/{id}/mint": {"quantity_micros": 3 * POINT},
    "POST /v1/markets/{id}/merge": {"quantity_micros": 2 * POINT},
    "POST /v1/admin/markets": {"question": "Will it snow?"},
    "PATCH /v1/admin/markets/{id}": {"description": "Measured at noon, in the shade."},
    "POST /v1/admin/markets/{id}/resolve": {"outcome": "NO"},
    "POST /v1/admin/markets/{id}/cancel": {"pro_rata": True},
    "POST /v1/admin/users/{id}/role": {"role": "user"},
    "POST /v1/admin/users/{id}/suspend": {"reason": "Something else."},
    "POST /v1/admin/users/{id}/restore": {"reason": "Something else."},
    "POST /v1/admin/users/{id}/grants": {"amount_micros": POINT},
    "POST /v1/admin/treasury/grants": {"amount_micros": POINT},
}
OTHER_QUERIES = {
    "DELETE /v1/orders": ("market_id={market}", "market_id={idle}"),
    "DELETE /v1/sessions": ("", "current_too=true"),
}
# Why a key is accepted and means nothing: all that is made is a secret, which is kept nowhere in clear and so cannot be
# shown again; a second one does no harm.
WITHOUT_A_KEY = {
    "POST /v1/auth/login": "a session more; it can be listed and ended",
    "POST /v1/auth/refresh": "the token works once, and so is its own key",
    "POST /v1/auth/logout": "what is ended stays so",
    "POST /v1/auth/authorize": "a code more, good for 60 seconds",
    "POST /v1/auth/token": "the code works once, and so is its own key",
    "POST /v1/auth/password/forgot": "a mail more, and they are counted",
    "POST /v1/ws-tickets": "a ticket more, good for 30 seconds",
}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


async def test_every_write_takes_a_key_or_says_why_it_needs_none() -> None:
    writes = [route for route in described() if route.writes]
    assert {name_of(route) for route in writes if route.repeats is Repeats.AGAIN} == set(WITHOUT_A_KEY)
    unnamed = [
        name_of(route)
        for route in writes
        if route.repeats is Repeats.ONCE
        and "{id}" not in route.path
        and name_of(route) not in {*OTHERWISE, *OTHER_QUERIES, "POST /v1/admin/treasury/sweep"}
    ]
    assert unnamed == []


async def test_a_write_again_is_a_replay_and_another_body_is_refused(
    shared_suite: Suite, shared_admin: User
) -> None:
    world = await World.of(shared_suite, shared_admin)
    for route in described():
        if route.repeats is not Repeats.ONCE:
            continue
        caller = "admin" if route.access is Access.ADMIN else "user"
        first, second = await _requests(world, route, caller)
        sender = shared_suite.nobody() if route.access is Access.OPEN else world.people[caller]
        key = str(uuid.uuid4())
        done = await sender.ask(*first, key=key)
        again = await sender.ask(*first, key=key)
        other = await sender.ask(*second, key=key)
        assert done.status in route.answers, (name_of(route), done)
        assert "Idempotency-Replayed" not in done.headers, name_of(route)
        assert (again.status, again.headers.get("Idempotency-Replayed")) == (done.status, "true"), (
            name_of(route),
            again,
        )
        assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED"), (name_of(route), other)


async def test_a_key_sent_twenty_times_at_once_has_one_effect(
    shared_suite: Suite, shared_admin: User
) -> None:
    world = await World.of(shared_suite, shared_admin)
    user = world.people["user"]
    before = (await user.get("/v1/portfolio"))["available_micros"]
    body = {"quantity_micros": POINT}
    path = f"/v1/markets/{world.market_id}/mint"
    replies = await asyncio.gather(*(user.ask("POST", path, body, key="k") for _ in range(20)))
    _check_one_effect(replies)
    assert (await user.get("/v1/portfolio"))["available_micros"] == before - POINT
    keys = {"name": "bot", "scopes": ["read"]}
    replies = await asyncio.gather(*(user.ask("POST", "/v1/api-keys", keys, key="k") for _ in range(20)))
    _check_one_effect(replies)
    assert [item["name"] for item in (await user.get("/v1/api-keys"))["items"]].count("bot") == 1


async def test_a_key_is_its_owner_s_alone(shared_suite: Suite, shared_admin: User) -> None:
    world = await World.of(shared_suite, shared_admin)
    order = {**BUY, "market_id": world.market_id}
    first = await world.people["user"].ask("POST", "/v1/orders", order, key="k")
    other = await world.victim.ask("POST", "/v1/orders", {**order, "price_micros": 200_000}, key="k")
    assert (first.status, other.status) == (201, 201)
    assert first.body["order_id"] != other.body["order_id"]


def _check_one_effect(replies: list[Reply]) -> None:
    """One did it, the others say so, or that it is under way."""
    done = [reply for reply in replies if reply.status < 300]
    assert sum("Idempotency-Replayed" not in reply.headers for reply in done) == 1
    assert all(reply.code == "IDEMPOTENCY_IN_FLIGHT" for reply in replies if reply.status >= 300)


async def _requests(world: World, route: Route, caller: str) -> tuple[Any, Any]:
    """(method, path, body) that works, and another that must not have the same key."""
    name = name_of(route)
    if name in OTHER_QUERIES:
        markets = {"market": world.market_id, "idle": world.idle_market_id}
        one, other = (f"{route.path}?{query.format(**markets)}" for query in OTHER_QUERIES[name])
        return (route.method, one, None), (route.method, other, None)
    if name.endswith("/sweep"):
        one, other = world.market_id, world.idle_market_id
        return (route.method, route.path, {"market_id": one}), (
            route.method,
            route.path,
            {"market_id": other},
        )
    body = await _body(world, route)
    path = route.path.format(id=await world.id_for(route, caller))
    if name in OTHERWISE:
        changed = {
            **body,
            **{key: await _filled(world, route, value) for key, value in OTHERWISE[name].items()},
        }
        return (route.method, path, body), (route.method, path, changed)
    other_path = route.path.format(id=await world.id_for(route, caller))
    assert path != other_path, name
    return (route.method, path, body), (route.method, other_path, body)


async def _body(world: World, route: Route) -> Any:
    """The documents' example, in earnest."""
    if route.example is None:
        return None
    body = {name: await _filled(world, route, value) for name, value in route.example.items()}
    if route.path.endswith("/reset"):
        await world.suite.nobody().ask("POST", "/v1/auth/password/forgot", {"email": world.victim.email})
        body["token"] = await world.suite.reset_token(world.victim.email)
    return {**body, "dry_run": False} if "dry_run" in body else body


async def _filled(world: World, route: Route, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: await _filled(world, route, part) for name, part in value.items()}
    if isinstance(value, list):
        return [await _filled(world, route, part) for part in value]
    return await world.value_for(value, route) if isinstance(value, str) else value
