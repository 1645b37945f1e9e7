"""Limits of REST: headers, buckets, tiers, what happens without Redis; nobody is counted twice on his way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api_gateway.limits import caller_of
from launcher.embedded import NatsServer, RedisServer
from predmarket.auth.v1 import auth_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from tests.api_gateway.grpc_web_client import post
from tests.api_gateway.support import POINT, Suite, User, open_market, run_suite
from tests.servers import Database

PUBLIC, TRADES, CANCELS = 40, 6, 4


@pytest.fixture
async def limited(
    fresh_database: Database, nats_server: NatsServer, private_redis: RedisServer
) -> AsyncIterator[Suite]:
    settings = {
        "redis_url": private_redis.url,
        "rate_public_per_minute": PUBLIC,
        "rate_trades_per_minute": TRADES,
        "rate_cancels_per_minute": CANCELS,
        "gateway_secret": "between the two",
    }
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as suite:
        yield suite


def order(market_id: str, **fields: Any) -> dict[str, Any]:
    base = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT"}
    return {**base, "time_in_force": "GTC", "price_micros": 100_000, "quantity_micros": POINT, **fields}


async def a_trader(suite: Suite) -> tuple[str, User]:
    market_id = await open_market(await suite.admin())
    return market_id, await suite.user("ann")


async def test_answers_tell_what_is_left_and_refusals_when_to_come_back(limited: Suite) -> None:
    market_id, ann = await a_trader(limited)
    for left in range(TRADES - 1, -1, -1):
        reply = await ann.ask("POST", "/v1/orders", order(market_id))
        assert reply.status == 201
        assert reply.headers["RateLimit-Policy"] == f'"trades";q={TRADES};w=60'
        assert reply.headers["RateLimit"].startswith(f'"trades";r={left};t=')
    reply = await ann.ask("POST", "/v1/orders", order(market_id))
    assert (reply.status, reply.code) == (429, "RATE_LIMITED")
    assert 50 <= int(reply.headers["Retry-After"]) <= 61
    assert reply.headers["RateLimit"].startswith('"trades";r=0;t=')
    assert (await ann.ask("GET", "/v1/portfolio")).status == 200


async def test_cancels_go_on_when_placing_is_used_up_and_have_an_end_themselves(limited: Suite) -> None:
    market_id, ann = await a_trader(limited)
    placed = [await ann.post("/v1/orders", order(market_id)) for _ in range(TRADES)]
    assert (await ann.ask("POST", "/v1/orders", order(market_id))).status == 429
    for each in placed[:CANCELS]:
        assert (await ann.ask("DELETE", f"/v1/orders/{each['order_id']}")).status == 200
    assert (await ann.ask("DELETE", f"/v1/orders/{placed[-1]['order_id']}")).status == 429


async def test_a_batch_counts_its_items(limited: Suite) -> None:
    market_id, ann = await a_trader(limited)
    body = {"orders": [order(market_id)] * (TRADES - 1)}
    reply = await ann.ask("POST", "/v1/orders/batch", body)
    assert reply.headers["RateLimit"].startswith('"trades";r=1;t=')
    assert (await ann.ask("POST", "/v1/orders/batch", {"orders": [order(market_id)] * 2})).status == 429
    assert (await ann.ask("POST", "/v1/orders", order(market_id))).status == 201
    more = await ann.ask("POST", "/v1/orders/batch", {"orders": [order(market_id)] * (TRADES + 1)})
    assert (more.status, more.body["items_max"]) == (422, str(TRADES))


async def test_one_bucket_over_rest_and_grpc_and_nobody_is_counted_twice(limited: Suite) -> None:
    market_id, ann = await a_trader(limited)
    for _ in range(TRADES - 2):
        await ann.post("/v1/orders", order(market_id))
    async with open_channel(limited.order_address) as channel:
        stub = order_pb2_grpc.OrderServiceStub(channel)

        async def mint() -> None:
            request = order_pb2.MintSetsRequest(market_id=market_id, quantity_micros=POINT)
            await call(stub.MintSets, request, authorization=f"Bearer {ann.token}")

        await mint()
        await mint()
        with pytest.raises(ApiError) as caught:
            await mint()
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert (await ann.ask("POST", "/v1/orders", order(market_id))).status == 429


async def test_an_administrators_calls_count_together_whichever_way_they_come(limited: Suite) -> None:
    admin = await limited.admin()

    async def left() -> str:
        return (await admin.ask("GET", "/v1/admin/users")).headers["RateLimit"].partition(";t=")[0]

    assert await left() == '"admin";r=59'
    path, request = "/predmarket.auth.v1.UserAdminService/ListUsers", auth_pb2.ListUsersRequest()
    answer = await post(limited.http, limited.url, path, request, authorization=f"Bearer {admin.token}")
    assert answer.status == 0
    assert await left() == '"admin";r=57'


async def test_anonymous_reads_count_by_address_and_users_each_for_themselves(limited: Suite) -> None:
    ann, ben, nobody = await limited.user("ann"), await limited.user("ben"), limited.nobody()
    replies = [await nobody.ask("GET", "/v1/markets") for _ in range(PUBLIC)]
    assert replies[0].headers["RateLimit-Policy"] == f'"public";q={PUBLIC};w=60'
    assert replies[-1].status == 429
    for user in (ann, ben):
        assert (
            (await user.ask("GET", "/v1/markets"))
            .headers["RateLimit"]
            .startswith(f'"public";r={PUBLIC - 1};t=')
        )
    assert (await nobody.ask("GET", "/healthz")).status == 200


async def test_while_redis_is_away_money_routes_answer_503_and_reads_go_on(
    limited: Suite, private_redis: RedisServer
) -> None:
    admin, ann = await limited.admin(), await limited.user("ann")
    market_id = await open_market(admin)
    private_redis.stop()
    for method, path, body in (
        ("POST", "/v1/orders", order(market_id)),
        ("DELETE", f"/v1/orders?market_id={market_id}", None),
        ("POST", f"/v1/markets/{market_id}/mint", {"quantity_micros": POINT}),
    ):
        reply = await ann.ask(method, path, body)
        assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    for path in ("/v1/markets", "/v1/portfolio", f"/v1/markets/{market_id}/book"):
        reply = await ann.ask("GET", path)
        assert reply.status == 200
        assert "RateLimit" not in reply.headers
    assert (await admin.ask("GET", "/v1/admin/users")).status == 200
    assert (await admin.ask("POST", f"/v1/admin/markets/{market_id}/pause", {})).status == 503
    private_redis.start()
    async with asyncio.timeout(20):
        while (await ann.ask("POST", "/v1/orders", order(market_id))).status == 503:
            await asyncio.sleep(0.1)


def test_addresses_of_one_ipv6_network_are_one_caller() -> None:
    names = {caller_of(None, address).name for address in ("2001:db8::1", "2001:db8::ffff:1")}
    assert names == {"2001:db8::/64"}
    assert caller_of(None, "::ffff:192.0.2.1") == caller_of(None, "192.0.2.1")
    assert caller_of(None, "192.0.2.1") != caller_of(None, "192.0.2.2")
    assert caller_of(None, "").name == "unknown"
