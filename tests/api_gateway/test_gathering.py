"""Orders that go together do not share what is each request's own."""

import asyncio
import contextvars
import uuid
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from api_gateway.gather import IN_FLIGHT_MAX, OrderGatherer
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_server import GrpcServer
from runtime.order_shards import OrderShards
from runtime.tracing import begin_request, current_trace_id

SLOW_SECONDS = 0.6
HURRIED_SECONDS = 0.8


class SlowOrders(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """An order_service that takes its time, and keeps how much of it callers leave."""

    def __init__(self) -> None:
        self.address = ""
        self.left_seconds: list[float] = []
        self.trace_ids: list[str] = []
        self.fails = False

    async def ListShards(self, request: order_pb2.ListShardsRequest, context: Any) -> Any:
        shard = order_pb2.Shard(shard=0, owner="o", address=self.address, epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)

    async def PlaceOrder(self, request: order_pb2.PlaceOrderRequest, context: Any) -> Any:
        await asyncio.sleep(SLOW_SECONDS)
        return order_pb2.PlaceOrderResponse(order=common_pb2.Order(order_id="alone"))

    async def SubmitCommands(self, request: order_pb2.SubmitCommandsRequest, context: Any) -> Any:
        self.left_seconds.append(context.time_remaining())
        self.trace_ids.append(current_trace_id())
        await asyncio.sleep(SLOW_SECONDS)
        if self.fails:
            raise RuntimeError("a defect")
        result = order_pb2.CommandResult(order=common_pb2.Order(order_id="together"))
        return order_pb2.SubmitCommandsResponse(results=[result] * len(request.commands))


@dataclass(frozen=True, slots=True)
class Gathering:
    service: SlowOrders
    gatherer: OrderGatherer

    def start(self, within_seconds: float, request_id: str = "") -> asyncio.Task[Any]:
        """An order of a request of its own."""

        async def place() -> Any:
            headers = {"x-request-id": request_id}
            begin_request("place", headers, remaining_seconds=within_seconds).end()
            request = order_pb2.PlaceOrderRequest(market_id=str(uuid.uuid4()))
            return await self.gatherer.place(request, "Bearer x")

        return asyncio.create_task(place(), context=contextvars.Context())

    async def fill_lanes(self, within_seconds: float) -> list[asyncio.Task[Any]]:
        """As many calls as may be under way; what comes now waits and goes together."""
        alone = []
        for _ in range(IN_FLIGHT_MAX):
            alone.append(self.start(within_seconds))
            await asyncio.sleep(0.05)  # what comes at once goes together
        return alone


@pytest.fixture
async def gathering() -> AsyncIterator[Gathering]:
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
    yield Gathering(service, gatherer)
    await gatherer.close()
    await orders.close()
    await server.stop(0)


async def test_an_order_that_waited_is_not_hurried_by_the_request_before(gathering: Gathering) -> None:
    hurried = await gathering.fill_lanes(HURRIED_SECONDS)
    patient = [gathering.start(10.0) for _ in range(2)]
    assert {(await each).order.order_id for each in patient} == {"together"}
    await asyncio.gather(*hurried, return_exceptions=True)  # on a slow machine they may be too late
    assert min(gathering.service.left_seconds) > 2


async def test_a_defect_is_told_under_each_request_with_the_trace_of_the_call_it_went_with(
    gathering: Gathering,
) -> None:
    gathering.service.fails = True
    before = await gathering.fill_lanes(10.0)
    with capture_logs([_with_trace_id]) as lines:
        together = [gathering.start(10.0) for _ in range(2)]
        failed = await asyncio.gather(*together, return_exceptions=True)
    assert [error.code for error in failed if isinstance(error, ApiError)] == [ErrorCode.INTERNAL] * 2
    await asyncio.gather(*before)
    told = [line for line in lines if line["event"] == "an order failed"]
    (trace_id,) = gathering.service.trace_ids
    assert [line["sent_with_trace_id"] for line in told] == [trace_id] * 2
    assert len({line["trace_id"] for line in told} - {trace_id}) == 2


def _with_trace_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["trace_id"] = current_trace_id()
    return event
