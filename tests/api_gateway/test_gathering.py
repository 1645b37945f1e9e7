"""Orders that go together do not share what is each request's own."""

import asyncio
import contextvars
import uuid
from typing import Any

from api_gateway.gather import IN_FLIGHT_MAX, OrderGatherer
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.grpc_server import GrpcServer
from runtime.order_shards import OrderShards
from runtime.tracing import begin_request

SLOW_SECONDS = 0.6
HURRIED_SECONDS = 0.8


class SlowOrders(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """An order_service that takes its time, and keeps how much of it callers leave."""

    def __init__(self) -> None:
        self.address = ""
        self.left_seconds: list[float] = []

    async def ListShards(self, request: order_pb2.ListShardsRequest, context: Any) -> Any:
        shard = order_pb2.Shard(shard=0, owner="o", address=self.address, epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)

    async def PlaceOrder(self, request: order_pb2.PlaceOrderRequest, context: Any) -> Any:
        await asyncio.sleep(SLOW_SECONDS)
        return order_pb2.PlaceOrderResponse(order=common_pb2.Order(order_id="alone"))

    async def SubmitCommands(self, request: order_pb2.SubmitCommandsRequest, context: Any) -> Any:
        self.left_seconds.append(context.time_remaining())
        await asyncio.sleep(SLOW_SECONDS)
        result = order_pb2.CommandResult(order=common_pb2.Order(order_id="together"))
        return order_pb2.SubmitCommandsResponse(results=[result] * len(request.commands))


async def test_an_order_that_waited_is_not_hurried_by_the_request_before() -> None:
    service = SlowOrders()
    server = GrpcServer(
        host="127.0.0.1",
        port=0,
        services=["predmarket.order.v1.OrderService", "predmarket.order.v1.ShardService"],
    )
    order_pb2_grpc.add_OrderServiceServicer_to_server(service, server.grpc)
    order_pb2_grpc.add_ShardServiceServicer_to_server(service, server.grpc)
    await server.start()
    service.address = f"127.0.0.1:{server.port}"
    orders = OrderShards([service.address])
    gatherer = OrderGatherer(orders, together=True)
    request = order_pb2.PlaceOrderRequest(market_id=str(uuid.uuid4()))

    async def place(within_seconds: float) -> Any:
        begin_request("place", {}, remaining_seconds=within_seconds).end()
        return await gatherer.place(request, "Bearer x")

    def start(within_seconds: float) -> asyncio.Task[Any]:
        return asyncio.create_task(place(within_seconds), context=contextvars.Context())

    hurried = []
    for _ in range(IN_FLIGHT_MAX):
        hurried.append(start(HURRIED_SECONDS))
        await asyncio.sleep(0.05)  # what comes at once goes together
    patient = [start(10.0) for _ in range(2)]
    assert {(await each).order.order_id for each in patient} == {"together"}
    await asyncio.gather(*hurried, return_exceptions=True)  # on a slow machine they may be too late
    assert min(service.left_seconds) > 2
    await gatherer.close()
    await orders.close()
    await server.stop(0)
