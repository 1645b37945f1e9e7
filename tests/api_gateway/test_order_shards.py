"""Calls find the process that owns a market's shard, also when it moves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_server import GrpcServer
from runtime.order_shards import OrderShards, is_repeatable
from runtime.ports import free_port

MARKET = "0190a000-0000-7000-8000-000000000001"


class Owner(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """One of several processes. `shared["owner"]` is who owns the shard, `shared["said"]` who ListShards says does."""

    def __init__(self, shared: dict[str, str]) -> None:
        self.shared = shared
        self.address = ""
        self.asked = 0

    async def GetBook(self, request: order_pb2.GetBookRequest, context: Any) -> order_pb2.GetBookResponse:
        self.asked += 1
        if self.shared["owner"] != self.address:
            raise ApiError(ErrorCode.NOT_SHARD_OWNER, address=self.shared["named"])
        return order_pb2.GetBookResponse(market_id=request.market_id)

    async def ListShards(self, request: order_pb2.ListShardsRequest, context: Any) -> Any:
        shard = order_pb2.Shard(shard=0, owner="o", address=self.shared["said"], epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)


@asynccontextmanager
async def processes(count: int) -> AsyncIterator[tuple[list[Owner], dict[str, str]]]:
    shared: dict[str, str] = {}
    owners = [Owner(shared) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for owner in owners:
            server = GrpcServer(host="127.0.0.1", port=0, services=["predmarket.order.v1.OrderService"])
            order_pb2_grpc.add_OrderServiceServicer_to_server(owner, server.grpc)
            order_pb2_grpc.add_ShardServiceServicer_to_server(owner, server.grpc)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            owner.address = f"127.0.0.1:{server.port}"
        yield owners, shared


async def ask(shards: OrderShards, market_id: str = MARKET, seconds: float = 5) -> Any:
    request = order_pb2.GetBookRequest(market_id=MARKET)
    stub = order_pb2_grpc.OrderServiceStub
    return await shards.call(stub, "GetBook", request, market_id=market_id, deadline_seconds=seconds)


async def test_the_owner_is_asked_and_followed_when_it_changes() -> None:
    async with processes(2) as ((first, second), shared):
        shared.update(owner=second.address, said=second.address, named=second.address)
        # One seed is away: the other tells.
        shards = OrderShards([f"127.0.0.1:{free_port()}", first.address])
        await ask(shards)
        assert (first.asked, second.asked) == (0, 1)
        shared.update(owner=first.address, named=first.address)
        await ask(shards)
        await ask(shards)
        assert (first.asked, second.asked) == (2, 2)
        await shards.close()


async def test_a_call_without_a_market_goes_where_it_is_sent() -> None:
    async with processes(2) as ((first, second), shared):
        shared.update(owner=second.address, said="", named=second.address)
        shards = OrderShards([first.address])
        await ask(shards, market_id="")
        assert (first.asked, second.asked) == (1, 1)
        await shards.close()


async def test_a_shard_without_owner_is_asked_for_until_the_deadline() -> None:
    async with processes(1) as ((first,), shared):
        shared.update(owner="", said="", named="")
        shards = OrderShards([first.address])
        with pytest.raises(ApiError) as refused:
            await ask(shards, seconds=0.5)
        assert refused.value.code in (ErrorCode.NOT_SHARD_OWNER, ErrorCode.DEADLINE_EXCEEDED)
        assert first.asked > 2
        await shards.close()


async def test_who_does_not_answer_is_asked_last_for_a_while() -> None:
    async with processes(1) as ((only,), shared):
        shared.update(owner=only.address, said=only.address, named=only.address)
        shards = OrderShards([f"127.0.0.1:{free_port()}", only.address])
        for _ in range(4):
            await ask(shards, market_id="")  # a read: made again where the first attempt found nobody
        assert only.asked == 4
        await shards.close()


def test_what_may_be_repeated() -> None:
    keyed = order_pb2.PlaceOrderRequest(idempotency_key="k")
    named = order_pb2.PlaceOrderRequest(client_order_id="a-1")
    neither = order_pb2.PlaceOrderRequest()
    assert is_repeatable("PlaceOrder", keyed)
    assert is_repeatable("PlaceOrder", named)
    assert is_repeatable("PlaceOrder", order_pb2.PlaceOrderRequest(dry_run=True))
    assert is_repeatable("GetBook", order_pb2.GetBookRequest())
    assert not is_repeatable("PlaceOrder", neither)
    assert not is_repeatable("PlaceOrder", b"raw")
    cancel = order_pb2.OrderCommand(cancel=order_pb2.CancelOrderRequest(idempotency_key="k"))
    both = [order_pb2.OrderCommand(place=keyed), cancel]
    assert is_repeatable("SubmitCommands", order_pb2.SubmitCommandsRequest(commands=both))
    mixed = [order_pb2.OrderCommand(place=neither), cancel]
    assert not is_repeatable("SubmitCommands", order_pb2.SubmitCommandsRequest(commands=mixed))
