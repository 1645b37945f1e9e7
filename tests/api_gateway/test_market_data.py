"""Quotes, search, merged books, tickers and holders over REST, for who has not logged in, too."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from launcher.embedded import NatsServer, RedisServer
from tests.api_gateway.support import POINT, UNLIMITED, Suite, User, open_market, run_suite
from tests.api_gateway.test_end_to_end import limit
from tests.servers import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suite(shared_suite: Suite) -> Suite:
    """The one of the whole file: markets and users are each test's own."""
    return shared_suite


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(shared_admin: User) -> User:
    return shared_admin


@pytest_asyncio.fixture(loop_scope="module")
async def own_suite(
    fresh_database: Database, nats_server: NatsServer, redis_server: RedisServer
) -> AsyncIterator[Suite]:
    """Where there are no markets but the test's."""
    settings = {"redis_url": redis_server.url, "rate_tiers": {}, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


async def test_a_quote_is_for_everybody_and_for_no_cache(suite: Suite, admin: User) -> None:
    market, ann, nobody = await open_market(admin), await suite.user("ann"), suite.nobody()
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
    refused = await suite.nobody().ask("POST", "/v1/quotes", {**sell, "close_position": True})
    assert refused.status == 422
    missing = await nobody.ask("POST", "/v1/quotes", {**order, "market_id": NOBODY})
    assert (missing.status, missing.code) == (404, "MARKET_NOT_FOUND")
    bad = User(suite.http, suite.url, token="x")
    assert (await bad.ask("POST", "/v1/quotes", order)).code == "UNAUTHENTICATED"


async def test_a_merged_book_shows_the_pools_part(suite: Suite, admin: User) -> None:
    market, ann, nobody = await open_market(admin), await suite.user("ann"), suite.nobody()
    await ann.post("/v1/orders", limit(market, "BUY", "YES", 480_000, 5 * POINT))
    book = await nobody.get(f"/v1/markets/{market}/book?merged=true&depth=2")
    assert [level[0] for level in book["bids"]] == [490_000, 480_000]
    assert [level[0] for level in book["asks"]] == [510_000, 520_000]
    assert book["bids"][1][2] == 5 * POINT
    assert all(level[1] == level[2] + level[3] for level in (*book["bids"], *book["asks"]))
    alone = await nobody.get(f"/v1/markets/{market}/book?merged=false")
    assert (alone["bids"], alone["asks"]) == ([[480_000, 5 * POINT]], [])


async def test_tickers_follow_the_trades(own_suite: Suite) -> None:
    admin = await own_suite.admin()
    markets = sorted([await open_market(admin), await open_market(admin)])
    ann, nobody = await own_suite.user("ann"), own_suite.nobody()
    await ann.post("/v1/orders", limit(markets[0], "BUY", "YES", 560_000, 30 * POINT))
    ticker = await nobody.get(f"/v1/markets/{markets[0]}/ticker")
    assert ticker["volume_24h_micros"] == ticker["volume_micros"] == 30 * POINT
    assert ticker["change_24h_micros"] == ticker["probability_micros"] - 500_000 > 0
    assert ticker["best_bid_micros"] < ticker["mid_micros"] < ticker["best_ask_micros"]
    named = await nobody.get(f"/v1/tickers?market_ids={markets[1]},{NOBODY},{markets[0]}")
    assert [each["market_id"] for each in named["items"]] == [markets[1], markets[0]]
    assert named["items"][1] == ticker
    page = await nobody.get("/v1/tickers?limit=1")
    assert [each["market_id"] for each in page["items"]] == markets[:1]
    rest = await nobody.get(f"/v1/tickers?limit=1&cursor={page['next_cursor']}")
    assert ([each["market_id"] for each in rest["items"]], rest["next_cursor"]) == (markets[1:], None)
    details = await nobody.get(f"/v1/markets/{markets[0]}")
    assert details["change_24h_micros"] == ticker["change_24h_micros"]
    tagged = await nobody.ask("GET", f"/v1/markets/{markets[0]}/ticker")
    headers = {"If-None-Match": tagged.headers["ETag"]}
    assert (await nobody.ask("GET", f"/v1/markets/{markets[0]}/ticker", headers=headers)).status == 304


async def test_a_socket_shows_the_ticker_that_rest_shows(suite: Suite, admin: User) -> None:
    market, ann, nobody = await open_market(admin), await suite.user("ann"), suite.nobody()
    async with suite.http.ws_connect(suite.ws_url, protocols=("predmarket.v1.json",)) as socket:
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


async def test_holders_have_names_and_no_addresses(suite: Suite, admin: User) -> None:
    market, ann = await open_market(admin), await suite.user("ann")
    await ann.post(f"/v1/markets/{market}/mint", {"quantity_micros": 3 * POINT}, status=200)
    reply = await suite.nobody().ask("GET", f"/v1/markets/{market}/holders")
    (holder,) = reply.body["items"]
    assert (holder["user_id"], holder["yes_micros"], holder["no_micros"]) == (
        ann.user_id,
        3 * POINT,
        3 * POINT,
    )
    assert ann.email not in str(reply.body)


async def test_markets_are_searched_and_sorted(own_suite: Suite) -> None:
    admin = await own_suite.admin()
    rain = await open_market(admin, question="Rain in Bern?", category="weather")
    goals = await open_market(admin, question="Goals?", category="sport")
    ann, nobody = await own_suite.user("ann"), own_suite.nobody()
    await ann.post("/v1/orders", limit(rain, "BUY", "YES", 560_000, 30 * POINT))

    async def found(query: str) -> list[str]:
        return [each["market_id"] for each in (await nobody.get(f"/v1/markets?{query}"))["items"]]

    assert await found("q=BERN%20rain") == await found("category=weather") == [rain]
    assert await found("sort=movers") == await found("sort=volume") == [rain, goals]
    assert await found("sort=newest") == [goals, rain]
    assert await found("q=bern&category=sport") == []


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


async def test_what_no_query_takes_is_refused(suite: Suite) -> None:
    for path in BAD_QUERIES:
        reply = await suite.nobody().ask("GET", path)
        assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT"), path
