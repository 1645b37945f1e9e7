"""From a REST call to a durable trade, and to a frame on a live socket."""

import asyncio
from typing import Any

import pytest

from tests.api_gateway.support import POINT, Suite, User, open_market
from tests.ws_service.support import Reader

pytestmark = pytest.mark.asyncio(loop_scope="module")


def limit(market: str, side: str, outcome: str, price: int, quantity: int, **more: Any) -> dict[str, Any]:
    return {
        "market_id": market,
        "side": side,
        "outcome": outcome,
        "type": "LIMIT",
        "time_in_force": "GTC",
        "price_micros": price,
        "quantity_micros": quantity,
        **more,
    }


async def test_the_published_case_to_the_micro(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin, liquidity_micros=600 * POINT, initial_probability_micros=600_000)
    ann, bob = await shared_suite.user("ann"), await shared_suite.user("bob")
    await bob.post("/v1/orders", limit(market, "BUY", "NO", 380_000, 4 * POINT))
    order = limit(market, "BUY", "YES", 620_000, 50 * POINT, client_order_id="a-1")
    tried = await ann.post("/v1/quotes", order, status=200)
    assert (tried["quantity_micros"], tried["cost_micros"], len(tried["legs"])) == (46_230_700, 28_242_681, 2)
    placed = await ann.post("/v1/orders", order)
    wanted = {
        "status": "PARTIALLY_FILLED",
        "filled_micros": 46_230_700,
        "remaining_micros": 3_769_300,
        "cost_micros": 28_242_681,
        "fee_micros": 576_382,
        "average_price_micros": 610_908,
        "locked_micros": 2_336_966,
        "netted_micros": 0,
        "seq": 4,
    }
    assert {name: placed[name] for name in wanted} == wanted
    assert [fill["venue"] for fill in placed["fills"]] == ["POOL", "BOOK"]
    portfolio = await ann.get("/v1/portfolio")
    assert portfolio["positions"][0]["yes_micros"] == 46_230_700
    assert portfolio["locked_micros"] == 2_336_966
    assert (await ann.get(f"/v1/orders/{placed['order_id']}"))["fills"] == placed["fills"]
    assert len((await ann.get("/v1/fills"))["items"]) == 2
    assert (await ann.get("/v1/orders?limit=1"))["items"][0]["order_id"] == placed["order_id"]
    trades = (await ann.get(f"/v1/markets/{market}/trades"))["items"]
    assert {trade["venue"] for trade in trades} == {"POOL", "BOOK"}
    book = await shared_suite.nobody().get(f"/v1/markets/{market}/book")
    assert (book["bids"], book["asks"]) == ([[620_000, 3_769_300]], [])
    ledger = (await ann.get("/v1/ledger"))["items"]
    assert ledger[0]["balance_after_micros"] == sum(row["points_micros"] for row in ledger)


async def test_a_socket_shows_what_a_rest_call_did(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    ann = await shared_suite.user("ann")
    reader = Reader(
        await shared_suite.http.ws_connect(shared_suite.ws_url, protocols=("predmarket.v1.json",))
    )
    assert (await reader.next())["type"] == "hello"
    for channel in ("book", "status", "trades"):
        await reader.send(cmd="subscribe", channel=channel, market_ids=[market])
    frames = [await reader.next() for _ in range(5)]
    assert {frame["type"] for frame in frames} == {"subscribed", "book.snapshot", "status"}
    reader.seq = next(frame["seq"] for frame in frames if frame["type"] == "book.snapshot")
    await ann.post("/v1/orders", limit(market, "BUY", "YES", 400_000, 10 * POINT))
    frame = await reader.book()
    assert frame["bids"] == [[400_000, 10 * POINT]]
    amount = {"market_id": market, "side": "BUY", "outcome": "NO", "type": "MARKET", "amount_micros": POINT}
    await ann.post("/v1/orders", amount)
    kinds = {(await reader.next())["type"] for _ in range(2)}
    assert kinds == {"trade", "book.delta"}
    await shared_admin.post(f"/v1/admin/markets/{market}/pause", status=200)
    assert (await reader.until("status"))["status"] == "PAUSED"
    await reader.socket.close()


async def test_a_key_gives_the_first_answer_again(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    ann = await shared_suite.user("ann")
    body = limit(market, "BUY", "YES", 400_000, 10 * POINT)
    first = await ann.ask("POST", "/v1/orders", body, key="k")
    again = await ann.ask("POST", "/v1/orders", body, key="k")
    other = await ann.ask("POST", "/v1/orders", {**body, "price_micros": 300_000}, key="k")
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert again.body == first.body
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert other.code == "IDEMPOTENCY_KEY_REUSED"
    assert len((await ann.get("/v1/orders"))["items"]) == 1


async def test_orders_are_changed_and_cancelled(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    ann, bob = await shared_suite.user("ann"), await shared_suite.user("bob")
    order = await ann.post("/v1/orders", limit(market, "BUY", "YES", 400_000, 10 * POINT))
    path = f"/v1/orders/{order['order_id']}"
    changed = await ann.ask("PATCH", path, {"quantity_micros": 5 * POINT})
    assert (changed.status, changed.body["remaining_micros"]) == (200, 5 * POINT)
    for method in ("GET", "DELETE"):
        assert (await bob.ask(method, path)).code == "ORDER_NOT_FOUND"
    assert (await ann.ask("DELETE", path)).body["status"] == "CANCELLED"
    assert (await ann.ask("DELETE", path)).code == "ORDER_NOT_FOUND"
    for price in (300_000, 310_000):
        await ann.post("/v1/orders", limit(market, "BUY", "YES", price, POINT))
    swept = await ann.ask("DELETE", f"/v1/orders?market_id={market}")
    assert len(swept.body["items"]) == 2
    assert (await ann.get("/v1/orders?open_only=true"))["items"] == []


async def test_each_order_of_a_batch_is_answered_on_its_own(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    ann = await shared_suite.user("ann")
    good = limit(market, "BUY", "YES", 400_000, POINT)
    unknown = {**good, "market_id": ann.user_id}
    orders = [good, {**good, "price_micros": 405_000}, {**good, "quantity_micros": 10**14}, unknown]
    first = await ann.ask("POST", "/v1/orders/batch", {"orders": orders}, key="b")
    results = first.body["results"]
    assert results[0]["order"]["status"] == "OPEN"
    codes = [result["error"]["code"] for result in results[1:]]
    assert codes == ["PRICE_NOT_ON_TICK", "INSUFFICIENT_FUNDS", "MARKET_NOT_FOUND"]
    again = await ann.ask("POST", "/v1/orders/batch", {"orders": orders}, key="b")
    assert again.body["results"][0] == {**results[0], "replayed": True}


async def test_sets_are_minted_and_merged_and_a_market_resolves(
    shared_suite: Suite, shared_admin: User
) -> None:
    market = await open_market(shared_admin)
    ann = await shared_suite.user("ann")
    minted = await ann.post(f"/v1/markets/{market}/mint", {"quantity_micros": 10 * POINT}, status=200)
    assert minted["quantity_micros"] == 10 * POINT
    await ann.post(f"/v1/markets/{market}/merge", {"quantity_micros": 4 * POINT}, status=200)
    resolve = {"outcome": "YES", "reason": "it did", "dry_run": True}
    tried = await shared_admin.post(f"/v1/admin/markets/{market}/resolve", resolve, status=200)
    assert {"user_id": ann.user_id, "points_micros": 6 * POINT}.items() <= next(
        payout for payout in tried["settlement"]["payouts"] if payout["user_id"] == ann.user_id
    ).items()
    assert (await ann.get(f"/v1/markets/{market}"))["status"] == "ACTIVE"
    await shared_admin.post(f"/v1/admin/markets/{market}/resolve", {**resolve, "dry_run": False}, status=200)
    async with asyncio.timeout(10):
        while (await ann.get("/v1/portfolio"))["available_micros"] != 10_000 * POINT:
            await asyncio.sleep(0.05)
    actions = [row["action"] for row in (await shared_admin.get("/v1/admin/audit"))["items"]]
    assert any("resolve" in action.lower() for action in actions)


async def test_a_draft_is_edited_seen_by_admins_only_and_deleted(
    shared_suite: Suite, shared_admin: User
) -> None:
    ann = await shared_suite.user("ann")
    body = {"question": "Will it?", "liquidity_micros": 1_000 * POINT}
    draft = await shared_admin.post("/v1/admin/markets", body)
    path = f"/v1/admin/markets/{draft['market_id']}"
    edited = await shared_admin.ask("PATCH", path, {"description": "d", "closes_at": "2099-01-01T00:00:00Z"})
    assert (edited.body["description"], edited.body["question"]) == ("d", "Will it?")
    assert edited.body["closes_at"] == "2099-01-01T00:00:00.000000Z"
    public = f"/v1/markets/{draft['market_id']}"
    assert (await ann.ask("GET", public)).code == "MARKET_NOT_FOUND"
    assert (await shared_admin.ask("GET", public)).status == 200
    assert (await shared_admin.ask("DELETE", path)).status == 204
    assert (await shared_admin.get(public))["status"] == "CANCELLED"
    assert (await ann.ask("GET", public)).code == "MARKET_NOT_FOUND"


async def test_points_are_granted_and_revenue_is_swept(shared_suite: Suite, shared_admin: User) -> None:
    ann = await shared_suite.user("ann")
    grant = {"kind": "PROMOTION", "amount_micros": 5 * POINT, "reason": "welcome"}
    path = f"/v1/admin/users/{ann.user_id}/grants"
    assert (await ann.ask("POST", path, grant)).code == "FORBIDDEN"
    assert (await shared_admin.post(path, grant))["available_micros"] == 10_005 * POINT
    market = await open_market(shared_admin)
    amount = {
        "market_id": market,
        "side": "BUY",
        "outcome": "YES",
        "type": "MARKET",
        "amount_micros": 10 * POINT,
    }
    await ann.post("/v1/orders", amount)
    swept = await shared_admin.post("/v1/admin/treasury/sweep", {"market_id": market}, status=200)
    assert swept["swept_micros"] > 0


async def test_orders_that_come_at_once_are_answered_each_on_its_own(
    shared_suite: Suite, shared_admin: User
) -> None:
    market = await open_market(shared_admin)
    users = [await shared_suite.user("ann"), await shared_suite.user("bob")]
    good = limit(market, "BUY", "YES", 400_000, POINT)
    bodies = [
        good,
        {**good, "price_micros": 405_000},
        {**good, "dry_run": True},
        {**good, "expires_at": None},
    ]
    bodies.append({**good, "time_in_force": "GTD"})  # without an end: a bad field, named
    work = [users[number % 2].ask("POST", "/v1/orders", bodies[number // 2 % 5]) for number in range(80)]
    replies = await asyncio.gather(*work)
    statuses = [201, 422, 200, 201, 422]
    assert [reply.status for reply in replies] == [statuses[number // 2 % 5] for number in range(80)]
    assert {reply.code for reply in replies if reply.status == 422} == {
        "PRICE_NOT_ON_TICK",
        "INVALID_ARGUMENT",
    }
    assert all("quote" in reply.body for reply in replies if reply.status == 200)
    assert all(reply.body["errors"] for reply in replies if reply.status == 422 and reply.code[0] == "I")
    for user in users:
        assert len((await user.get("/v1/orders?open_only=true"))["items"]) == 16
