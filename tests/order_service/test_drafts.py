"""A DRAFT is there for administrators only, whichever process is asked and whatever it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.embedded import NatsServer
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import (
    Client,
    Issuer,
    limit,
    new_user,
    run_service_here,
    settings_of,
)
from tests.servers import Database

Question = tuple[str, Any, str]
"""A method, its request, its service."""


def questions(market_id: str) -> list[Question]:
    """All that names a market and comes from people."""
    named: Any = {"market_id": market_id}
    orders = "OrderService"
    return [
        ("ListShards", order_pb2.ListShardsRequest(**named), "ShardService"),
        ("GetMarket", order_pb2.GetMarketRequest(**named), orders),
        ("GetBook", order_pb2.GetBookRequest(**named), orders),
        ("ListOpenOrders", order_pb2.ListOpenOrdersRequest(**named), orders),
        ("GetOrder", order_pb2.GetOrderRequest(order_id=new_user(), **named), orders),
        ("PlaceOrder", limit(market_id, 50, 1), orders),
        ("PlaceOrder", limit(market_id, 50, 1, dry_run=True), orders),
        (
            "AmendOrder",
            order_pb2.AmendOrderRequest(order_id=new_user(), quantity_micros=10**6, **named),
            orders,
        ),
        ("CancelOrder", order_pb2.CancelOrderRequest(order_id=new_user(), **named), orders),
        ("CancelAllOrders", order_pb2.CancelAllOrdersRequest(**named), orders),
        ("MintSets", order_pb2.MintSetsRequest(quantity_micros=10**6, **named), orders),
        ("MergeSets", order_pb2.MergeSetsRequest(quantity_micros=10**6, **named), orders),
    ]


async def refusal(client: Client, question: Question, user: str) -> tuple[str, str, dict[str, str]]:
    """All that the caller can tell apart."""
    method, request, service = question
    with pytest.raises(ApiError) as refused:
        await client.ask(method, request, user, service=service)
    return str(refused.value.code), refused.value.message, dict(refused.value.details)


async def test_for_everybody_else_a_draft_is_as_good_as_unknown(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url, admin, user = fresh_database.url_for("pm_order"), new_user(), new_user()
    first = settings_of(url, nats_server.url, issuer.url, order_shards="0,1")
    second = settings_of(url, nats_server.url, issuer.url, order_shards="2,3", instance="order_service-2")
    async with run_service_here(issuer, first) as owner, run_service_here(issuer, second) as other:
        terms = order_pb2.MarketTerms(question="Will it?", liquidity_micros=10**9)
        created = await owner.admin("CreateMarket", order_pb2.CreateMarketRequest(terms=terms), admin)
        draft = created.market.market_id
        await owner.grant(user)
        for client in (owner, other):
            for of_draft, of_nothing in zip(questions(draft), questions(new_user()), strict=True):
                told = await refusal(client, of_draft, user)
                assert told[0] == "MARKET_NOT_FOUND", of_draft[0]
                assert told == await refusal(client, of_nothing, user), of_draft[0]
        await the_administrator_sees_it(owner, other, draft, admin)


async def the_administrator_sees_it(owner: Client, other: Client, draft: str, admin: str) -> None:
    shards = order_pb2.ListShardsRequest(market_id=draft)
    assert (await owner.ask("ListShards", shards, admin, "admin", "ShardService")).market_shard in (0, 1)
    market = order_pb2.GetMarketRequest(market_id=draft)
    assert (await owner.ask("GetMarket", market, admin, "admin")).market.status == "DRAFT"
    for ask in (
        other.ask("GetMarket", market, admin, "admin"),
        other.admin("ActivateMarket", order_pb2.ActivateMarketRequest(market_id=draft), admin),
    ):
        with pytest.raises(ApiError) as refused:
            await ask
        assert refused.value.code is ErrorCode.NOT_SHARD_OWNER
        assert refused.value.details["address"] == owner.address
