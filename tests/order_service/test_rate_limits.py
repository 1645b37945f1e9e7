"""Limits of callers who come to order_service directly, and the gateway's proof that it has counted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from launcher.embedded import NatsServer, RedisServer
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call
from runtime.rate_policy import COUNTED_HEADER
from tests.order_service.support import Client, Issuer, limit, new_user, run_service_here, settings_of
from tests.servers import Database

SECRET = "only the gateway knows"
TRADES = 4
CANCELS = 2


@pytest.fixture
def limits(private_redis: RedisServer) -> dict[str, Any]:
    return {
        "redis_url": private_redis.url,
        "rate_trades_per_minute": TRADES,
        "rate_cancels_per_minute": CANCELS,
        "gateway_secret": SECRET,
    }


@pytest.fixture
async def limited(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer, limits: dict[str, Any]
) -> AsyncIterator[Client]:
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url, **limits)
    async with run_service_here(issuer, fields) as client:
        yield client


async def a_trader(client: Client) -> tuple[str, str]:
    """A market and somebody with points."""
    market_id, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    return market_id, user


async def refusal(work: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value


def bid(market_id: str) -> order_pb2.PlaceOrderRequest:
    return limit(market_id, 10, 1)


async def test_a_direct_caller_is_refused_after_the_limit_and_told_when_to_come_back(limited: Client) -> None:
    market_id, user = await a_trader(limited)
    for _ in range(TRADES):
        await limited.ask("PlaceOrder", bid(market_id), user)
    error = await refusal(limited.ask("PlaceOrder", bid(market_id), user))
    assert error.code is ErrorCode.RATE_LIMITED
    assert error.details["bucket"] == "trades"
    assert 55_000 <= int(error.details["retry_after_ms"]) <= 61_000
    mint = order_pb2.MintSetsRequest(market_id=market_id, quantity_micros=1_000_000)
    assert (await refusal(limited.ask("MintSets", mint, user))).code is ErrorCode.RATE_LIMITED
    other = new_user()
    await limited.grant(other)
    await limited.ask("PlaceOrder", bid(market_id), other)


async def test_placing_never_starves_cancels(limited: Client) -> None:
    market_id, user = await a_trader(limited)
    for _ in range(TRADES):
        placed = await limited.ask("PlaceOrder", bid(market_id), user)
    assert (await refusal(limited.ask("PlaceOrder", bid(market_id), user))).code is ErrorCode.RATE_LIMITED
    cancel = order_pb2.CancelOrderRequest(order_id=placed.order.order_id)
    await limited.ask("CancelOrder", cancel, user)
    everything = order_pb2.CancelAllOrdersRequest(market_id=market_id)
    await limited.ask("CancelAllOrders", everything, user)
    assert (await refusal(limited.ask("CancelAllOrders", everything, user))).code is ErrorCode.RATE_LIMITED


async def test_items_of_a_batch_count_each_and_are_admitted_together_or_not_at_all(limited: Client) -> None:
    market_id, user = await a_trader(limited)

    def batch(places: int) -> order_pb2.SubmitCommandsRequest:
        return order_pb2.SubmitCommandsRequest(
            commands=[order_pb2.OrderCommand(place=bid(market_id)) for _ in range(places)]
        )

    answer = await limited.ask("SubmitCommands", batch(3), user)
    assert [result.HasField("order") for result in answer.results] == [True] * 3
    answer = await limited.ask("SubmitCommands", batch(2), user)
    assert [result.error.code for result in answer.results] == ["RATE_LIMITED"] * 2
    answer = await limited.ask("SubmitCommands", batch(1), user)
    assert answer.results[0].HasField("order")
    answer = await limited.ask("SubmitCommands", batch(TRADES + 1), user)
    assert {result.error.code for result in answer.results} == {"INVALID_ARGUMENT"}


async def test_each_command_of_a_stream_counts(limited: Client) -> None:
    market_id, user = await a_trader(limited)

    async def requests() -> AsyncIterator[order_pb2.TradeRequest]:
        for number in range(TRADES + 2):
            yield order_pb2.TradeRequest(
                request_id=number, command=order_pb2.OrderCommand(place=bid(market_id))
            )

    metadata = [("authorization", f"Bearer {limited.issuer.token(user)}")]
    stub = limited.stub("OrderService")
    answers = [answer async for answer in stub.Trade(requests(), timeout=10, metadata=metadata)]
    assert [answer.result.HasField("order") for answer in answers] == [True] * TRADES + [False] * 2
    assert {answer.result.error.code for answer in answers[TRADES:]} == {"RATE_LIMITED"}


async def test_what_the_gateway_has_counted_is_not_counted_again(limited: Client) -> None:
    market_id, user = await a_trader(limited)
    for _ in range(TRADES * 3):
        await as_gateway(limited, market_id, user, ((COUNTED_HEADER, SECRET),))
    for _ in range(TRADES):
        await limited.ask("PlaceOrder", bid(market_id), user)


@pytest.mark.parametrize(
    "forged",
    [
        ((COUNTED_HEADER, ""),),
        ((COUNTED_HEADER, "1"),),
        ((COUNTED_HEADER, SECRET[:-1]),),
        ((COUNTED_HEADER, SECRET.upper()),),
        ((COUNTED_HEADER, "1"), (COUNTED_HEADER, SECRET)),
        (("x-forwarded-for", "127.0.0.1"),),
    ],
)
async def test_a_client_cannot_forge_the_gateways_proof(limited: Client, forged: Any) -> None:
    market_id, user = await a_trader(limited)
    for _ in range(TRADES):
        await as_gateway(limited, market_id, user, forged)
    error = await refusal(as_gateway(limited, market_id, user, forged))
    assert error.code is ErrorCode.RATE_LIMITED


async def test_without_a_secret_in_the_settings_nobody_can_prove_anything(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer, limits: dict[str, Any]
) -> None:
    limits["gateway_secret"] = ""
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url, **limits)
    async with run_service_here(issuer, fields) as client:
        market_id, user = await a_trader(client)
        for _ in range(TRADES):
            await as_gateway(client, market_id, user, ((COUNTED_HEADER, ""),))
        error = await refusal(as_gateway(client, market_id, user, ((COUNTED_HEADER, ""),)))
        assert error.code is ErrorCode.RATE_LIMITED


async def test_while_redis_is_away_money_is_refused_and_reads_go_on(
    limited: Client, private_redis: RedisServer
) -> None:
    market_id, user = await a_trader(limited)
    private_redis.stop()
    error = await refusal(limited.ask("PlaceOrder", bid(market_id), user))
    assert error.code is ErrorCode.UNAVAILABLE
    assert int(error.details["retry_after_ms"]) > 0
    book = order_pb2.GetBookRequest(market_id=market_id)
    assert (await limited.ask("GetBook", book, user)).market_id == market_id
    quote = limit(market_id, 10, 1, dry_run=True)
    assert (await limited.ask("PlaceOrder", quote, user)).HasField("quote")
    await as_gateway(limited, market_id, user, ((COUNTED_HEADER, SECRET),))
    private_redis.start()
    async with asyncio.timeout(20):
        while await _is_away(limited, market_id, user):
            await asyncio.sleep(0.1)


async def _is_away(client: Client, market_id: str, user: str) -> bool:
    try:
        await client.ask("PlaceOrder", bid(market_id), user)
    except ApiError as error:
        if error.code is ErrorCode.UNAVAILABLE:
            return True
        raise
    return False


async def as_gateway(client: Client, market_id: str, user: str, metadata: Any) -> Any:
    return await call(
        client.stub("OrderService").PlaceOrder,
        bid(market_id),
        authorization=f"Bearer {client.issuer.token(user)}",
        metadata=metadata,
    )
