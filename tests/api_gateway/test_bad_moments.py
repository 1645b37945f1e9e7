"""Bad input at REST: good requests about things that are in another state, or somebody else's."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api_gateway.support import NOBODY, POINT, Suite, User, open_market

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSES_IN_SECONDS = 2


def order(market_id: str, **fields: Any) -> dict[str, Any]:
    base = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT"}
    return {**base, "price_micros": 100_000, "quantity_micros": POINT, **fields}


async def trading_refused(user: User, market_id: str) -> set[tuple[int, str]]:
    """What placing, a batch, a quote and minting are answered."""
    body = order(market_id)
    replies = [
        await user.ask("POST", "/v1/orders", body),
        await user.ask("POST", "/v1/quotes", body),
        await user.ask("POST", f"/v1/markets/{market_id}/mint", {"quantity_micros": POINT}),
    ]
    batch = await user.ask("POST", "/v1/orders/batch", {"orders": [body]})
    assert batch.status == 200
    assert batch.body["results"][0]["error"]["code"] == replies[0].code
    return {(reply.status, reply.code) for reply in replies}


async def test_a_draft_is_not_there_for_those_who_trade(shared_suite: Suite, shared_admin: User) -> None:
    user = await shared_suite.user("draft")
    draft = {"question": "Will it?", "liquidity_micros": 1_000 * POINT}
    market_id = (await shared_admin.post("/v1/admin/markets", draft))["market_id"]
    assert await trading_refused(user, market_id) == {(404, "MARKET_NOT_FOUND")}
    for path in ("", "/book", "/trades", "/solvency"):
        assert (await user.ask("GET", f"/v1/markets/{market_id}{path}")).code == "MARKET_NOT_FOUND"
    assert await trading_refused(user, NOBODY) == {(404, "MARKET_NOT_FOUND")}


async def test_while_paused_nothing_trades_and_cancels_work(shared_suite: Suite, shared_admin: User) -> None:
    user, market_id = await shared_suite.user("paused"), await open_market(shared_admin)
    placed = await user.post("/v1/orders", order(market_id))
    await shared_admin.post(f"/v1/admin/markets/{market_id}/pause", status=200)
    assert await trading_refused(user, market_id) == {(409, "MARKET_NOT_ACTIVE")}
    path = f"/v1/orders/{placed['order_id']}"
    more = await user.ask("PATCH", path, {"quantity_micros": 2 * POINT})
    assert (more.status, more.code) == (409, "MARKET_NOT_ACTIVE")
    assert (await user.ask("PATCH", path, {"quantity_micros": POINT // 2})).status == 200
    assert (await user.ask("DELETE", path)).body["status"] == "CANCELLED"


async def test_after_the_end_nothing_trades(shared_suite: Suite, shared_admin: User) -> None:
    user = await shared_suite.user("resolved")
    decisions: list[tuple[str, dict[str, Any]]] = [
        ("resolve", {"outcome": "YES", "reason": "it did"}),
        ("cancel", {"reason": "it cannot be told"}),
    ]
    for verb, body in decisions:
        market_id = await open_market(shared_admin)
        placed = await user.post("/v1/orders", order(market_id))
        await shared_admin.post(f"/v1/admin/markets/{market_id}/{verb}", body, status=200)
        assert await trading_refused(user, market_id) == {(409, "MARKET_NOT_ACTIVE")}
        again = await shared_admin.ask("POST", f"/v1/admin/markets/{market_id}/{verb}", body)
        assert (again.status, again.code) == (409, "MARKET_NOT_ACTIVE")
        async with asyncio.timeout(20):
            while (await user.get(f"/v1/orders/{placed['order_id']}"))["status"] != "CANCELLED":
                await asyncio.sleep(0.05)


async def test_past_its_closing_time_a_market_takes_no_orders(
    shared_suite: Suite, shared_admin: User
) -> None:
    user = await shared_suite.user("closed")
    closes_at = datetime.now(UTC) + timedelta(seconds=CLOSES_IN_SECONDS)
    market_id = await open_market(shared_admin, closes_at=closes_at.isoformat())
    await asyncio.sleep((closes_at - datetime.now(UTC)).total_seconds() + 0.1)
    refusals = await trading_refused(user, market_id)
    # A job may have paused it meanwhile.
    assert refusals <= {(409, "MARKET_CLOSED"), (409, "MARKET_NOT_ACTIVE")}


async def test_orders_of_others_unknown_ones_and_done_ones_are_not_found(
    shared_suite: Suite, shared_admin: User, shared_market: str
) -> None:
    ann, bob = await shared_suite.user("orders-a"), await shared_suite.user("orders-b")
    open_one = (await ann.post("/v1/orders", order(shared_market)))["order_id"]
    filled = await ann.post(
        "/v1/orders", order(shared_market, type="MARKET", price_micros=None, max_slippage_bps=10_000)
    )
    assert filled["status"] == "FILLED"
    cases = [(bob, open_one), (shared_admin, open_one), (ann, NOBODY), (ann, filled["order_id"])]
    for user, order_id in cases:
        path = f"/v1/orders/{order_id}"
        for method, body in (("DELETE", None), ("PATCH", {"quantity_micros": POINT})):
            reply = await user.ask(method, path, body)
            assert (reply.status, reply.code) == (404, "ORDER_NOT_FOUND"), (method, order_id)
        if user is not ann:
            assert (await user.ask("GET", path)).code == "ORDER_NOT_FOUND"
    swept = await bob.ask("DELETE", f"/v1/orders?market_id={shared_market}")
    assert (swept.status, swept.body) == (200, {"items": []})
    assert (await ann.get(f"/v1/orders/{open_one}"))["status"] == "OPEN"


async def test_nobody_trades_with_himself(shared_suite: Suite, shared_admin: User) -> None:
    user, market_id = await shared_suite.user("self"), await open_market(shared_admin)
    resting = await user.post("/v1/orders", order(market_id, price_micros=500_000))
    opposite = order(market_id, outcome="NO", price_micros=500_000)
    reply = await user.ask("POST", "/v1/orders", {**opposite, "time_in_force": "IOC"})
    assert (reply.status, reply.code) == (409, "SELF_TRADE")
    taken = await user.post("/v1/orders", {**opposite, "self_trade": "CANCEL_MAKER"})
    assert all(fill["venue"] != "BOOK" for fill in taken["fills"])
    assert (await user.get(f"/v1/orders/{resting['order_id']}"))["status"] == "CANCELLED"


async def test_things_of_others_are_not_found(shared_suite: Suite) -> None:
    ann, bob = await shared_suite.user("things-a"), await shared_suite.user("things-b")
    key = await ann.post("/v1/api-keys", {"name": "x", "scopes": ["read"]})
    session = (await ann.get("/v1/sessions"))["items"][0]
    for path in (f"/v1/api-keys/{key['api_key_id']}", f"/v1/sessions/{session['session_id']}"):
        reply = await bob.ask("DELETE", path)
        assert (reply.status, reply.code) == (404, "NOT_FOUND")
    assert len((await ann.get("/v1/api-keys"))["items"]) == 1
    assert (await ann.ask("GET", "/v1/me")).status == 200
