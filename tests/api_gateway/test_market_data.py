"""Quotes, search, merged books, tickers and holders over REST, for who has not logged in, too."""

import asyncio

import pytest

from tests.api_gateway.support import NOBODY, POINT, Suite, User, open_market
from tests.api_gateway.test_end_to_end import limit

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_quote_is_for_everybody_and_for_no_cache(shared_suite: Suite, shared_admin: User) -> None:
    market, ann, nobody = (
        await open_market(shared_admin),
        await shared_suite.user("ann"),
        shared_suite.nobody(),
    )
    order = {
        "market_id": market,
        "side": "BUY",
        "outcome": "YES",
        "type": "MARKET",
        "amount_micros": 20 * POINT,
        "max_slippage_bps": 10_000,
    }
    reply = await nobody.ask("POST", "/v1/quotes", order)
    assert (reply.status, reply.headers["Cache-Control"], "ETag" in reply.headers) == (200, "no-store", False)
    theirs = reply.body
    assert (theirs["available_micros"], theirs["largest"], theirs["is_affordable"]) == (None, None, True)
    quoted = await ann.post("/v1/quotes", order, status=200)
    assert quoted["available_micros"] == 10_000 * POINT
    assert quoted["largest"]["total_micros"] == 10_000 * POINT
    assert [point["zone"] for point in quoted["impact"]][:: len(quoted["impact"]) - 1] == ["SAFE", "DANGER"]
    placed = await ann.post("/v1/orders", order)
    for mine, quotes in (("filled_micros", "quantity_micros"), ("cost_micros",) * 2, ("fee_micros",) * 2):
        assert placed[mine] == quoted[quotes] == theirs[quotes]
    assert placed["seq"] == quoted["valid_seq"] + 1
    sell = {**order, "side": "SELL", "quantity_micros": POINT, "amount_micros": None, "impact": False}
    del sell["amount_micros"]
    sold = await ann.post("/v1/quotes", sell, status=200)
    assert (sold["netted_micros"], sold["impact"]) == (POINT, [])
    assert sold["largest"]["quantity_micros"] == placed["filled_micros"]
    refused = await shared_suite.nobody().ask("POST", "/v1/quotes", {**sell, "close_position": True})
    assert refused.status == 422
    missing = await nobody.ask("POST", "/v1/quotes", {**order, "market_id": NOBODY})
    assert (missing.status, missing.code) == (404, "MARKET_NOT_FOUND")
    bad = User(shared_suite.http, shared_suite.url, token="x")
    assert (await bad.ask("POST", "/v1/quotes", order)).code == "UNAUTHENTICATED"


async def test_a_merged_book_shows_the_pools_part(shared_suite: Suite, shared_admin: User) -> None:
    market, ann, nobody = (
        await open_market(shared_admin),
        await shared_suite.user("ann"),
        shared_suite.nobody(),
    )
    await ann.post("/v1/orders", limit(market, "BUY", "YES", 480_000, 5 * POINT))
    book = await nobody.get(f"/v1/markets/{market}/book?merged=true&depth=2")
    assert [level[0] for level in book["bids"]] == [490_000, 480_000]
    assert [level[0] for level in book["asks"]] == [510_000, 520_000]
    assert book["bids"][1][2] == 5 * POINT
    assert all(level[1] == level[2] + level[3] for level in (*book["bids"], *book["asks"]))
    alone = await nobody.get(f"/v1/markets/{market}/book?merged=false")
    assert (alone["bids"], alone["asks"]) == ([[480_000, 5 * POINT]], [])


async def test_a_socket_shows_the_ticker_that_rest_shows(shared_suite: Suite, shared_admin: User) -> None:
    market, ann, nobody = (
        await open_market(shared_admin),
        await shared_suite.user("ann"),
        shared_suite.nobody(),
    )
    async with shared_suite.http.ws_connect(shared_suite.ws_url, protocols=("predmarket.v1.json",)) as socket:
        command = {"id": 1, "cmd": "subscribe", "channel": "ticker", "market_ids": [market]}
        await socket.send_json(command)
        await ann.post("/v1/orders", limit(market, "BUY", "YES", 560_000, 30 * POINT))
        wanted = await nobody.get(f"/v1/markets/{market}/ticker")
        assert wanted["volume_24h_micros"] == 30 * POINT
        async with asyncio.timeout(10):
            while True:
                frame = await socket.receive_json()
                if frame["type"] == "ticker" and frame["seq"] == wanted["seq"]:
                    break
    assert frame.pop("type") == "ticker"
    assert frame == {name: wanted[name] for name in frame}
    assert {"change_24h_micros", "best_bid_micros", "mid_micros"} <= frame.keys()


async def test_holders_have_names_and_no_addresses(shared_suite: Suite, shared_admin: User) -> None:
    market, ann = await open_market(shared_admin), await shared_suite.user("ann")
    await ann.post(f"/v1/markets/{market}/mint", {"quantity_micros": 3 * POINT}, status=200)
    reply = await shared_suite.nobody().ask("GET", f"/v1/markets/{market}/holders")
    (holder,) = reply.body["items"]
    assert (holder["user_id"], holder["yes_micros"], holder["no_micros"]) == (
        ann.user_id,
        3 * POINT,
        3 * POINT,
    )
    assert ann.email not in str(reply.body)


BAD_QUERIES = (
    "/v1/tickers?market_ids=x",
    "/v1/tickers?market_ids=",
    f"/v1/tickers?market_ids={NOBODY},",
    f"/v1/tickers?market_ids={NOBODY}&limit=1",
    "/v1/tickers?market_ids=" + ",".join([NOBODY] * 101),
    "/v1/tickers?cursor=x",
    "/v1/tickers?limit=201",
    f"/v1/markets/{NOBODY}/book?merged=yes",
    "/v1/markets?sort=loud",
    "/v1/markets?sort=movers&cursor=x",
)


async def test_what_no_query_takes_is_refused(shared_suite: Suite) -> None:
    for path in BAD_QUERIES:
        reply = await shared_suite.nobody().ask("GET", path)
        assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT"), path
