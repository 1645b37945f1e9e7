"""Tickers and searches, where there are no markets but the test's."""

from tests.api_gateway.support import NOBODY, POINT, Suite, User, open_market
from tests.api_gateway.test_end_to_end import limit


async def test_tickers_follow_the_trades(suite: Suite, admin: User) -> None:
    markets = sorted([await open_market(admin), await open_market(admin)])
    ann, nobody = await suite.user("ann"), suite.nobody()
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


async def test_markets_are_searched_and_sorted(suite: Suite, admin: User) -> None:
    rain = await open_market(admin, question="Rain in Bern?", category="weather")
    goals = await open_market(admin, question="Goals?", category="sport")
    ann, nobody = await suite.user("ann"), suite.nobody()
    await ann.post("/v1/orders", limit(rain, "BUY", "YES", 560_000, 30 * POINT))

    async def found(query: str) -> list[str]:
        return [each["market_id"] for each in (await nobody.get(f"/v1/markets?{query}"))["items"]]

    assert await found("q=BERN%20rain") == await found("category=weather") == [rain]
    assert await found("sort=movers") == await found("sort=volume") == [rain, goals]
    assert await found("sort=newest") == [goals, rain]
    assert await found("q=bern&category=sport") == []
