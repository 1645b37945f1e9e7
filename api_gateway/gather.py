"""Orders that arrive while calls are in flight go together in the next one: a unary call costs more than an order.

No timer: an order that finds a call free goes at once. Each order is answered on its own, under its own caller's token.
"""

import asyncio
import contextvars
from collections import deque
from dataclasses import dataclass
from typing import Any

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode, NoAnswer
from runtime.order_shards import OrderShards, is_repeatable
from runtime.surprises import as_api_error

ORDERS = order_pb2_grpc.OrderServiceStub
IN_FLIGHT_MAX = 2
TOGETHER_MAX = 200
WAITING_MAX = 5_000
# Nothing was done with the item: asked alone it is done after all, or refused with every detail.
ALONE_AGAIN = frozenset(
    {ErrorCode.NOT_SHARD_OWNER, ErrorCode.INVALID_ARGUMENT, ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: order_pb2.PlaceOrderRequest
    authorization: str
    answer: "asyncio.Future[order_pb2.PlaceOrderResponse | None]"
    """None: ask alone."""


class _Lane:
    """The calls to one order_service process."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.waiting: deque[_Waiting] = deque()


class OrderGatherer:
    """`place` is what handlers call. `together` False: every order is a call of its own, as many at once as come."""

    def __init__(self, orders: OrderShards, *, together: bool) -> None:
        self._orders = orders
        self._together_at_all = together
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def place(
        self, request: order_pb2.PlaceOrderRequest, authorization: str
    ) -> order_pb2.PlaceOrderResponse:
        """Raises ApiError."""
        if not self._together_at_all:
            return await self._alone(request, authorization)
        lane = self._lanes.setdefault(await self._orders.owner(request.market_id), _Lane())
        if lane.in_flight < IN_FLIGHT_MAX and not lane.waiting:
            lane.in_flight += 1
            try:
                return await self._alone(request, authorization)
            finally:
                lane.in_flight -= 1
                self._go_on(lane)
        if len(lane.waiting) >= WAITING_MAX:
            raise ApiError(ErrorCode.OVERLOADED)
        item = _Waiting(request, authorization, asyncio.get_running_loop().create_future())
        lane.waiting.append(item)
        return await item.answer or await self._alone(request, authorization)

    async def close(self) -> None:
        """Waits for the calls under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self, lane: _Lane) -> None:
        """What waits goes in one call, in a task of its own: a caller that leaves takes nobody along."""
        while lane.waiting and lane.in_flight < IN_FLIGHT_MAX:
            items = [lane.waiting.popleft() for _ in range(min(TOGETHER_MAX, len(lane.waiting)))]
            items = [item for item in items if not item.answer.done()]
            if not items:
                continue
            lane.in_flight += 1
            # In a context of its own: the deadline of whichever request has just ended is none of these orders'.
            task = asyncio.create_task(
                self._together(lane, items), name="orders together", context=contextvars.Context()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _together(self, lane: _Lane, items: list[_Waiting]) -> None:
        try:
            for item, result in zip(items, await self._submit(items), strict=True):
                if not item.answer.done():
                    _settle(item, result)
        except Exception as error:  # whatever it was, every caller is told
            refusal = as_api_error(error)
            for item in items:
                if item.answer.done():
                    continue
                if isinstance(refusal, NoAnswer) and is_repeatable("PlaceOrder", item.request):
                    item.answer.set_result(None)
                else:
                    _fail(item, refusal)
        finally:
            for item in items:
                item.answer.cancel()  # answered ones stay as they are; nobody waits for ever
            lane.in_flight -= 1
            self._go_on(lane)

    async def _submit(self, items: list[_Waiting]) -> list[order_pb2.CommandResult]:
        commands = [
            order_pb2.OrderCommand(place=item.request, access_token=item.authorization.partition(" ")[2])
            for item in items
        ]
        response = await self._orders.call(
            ORDERS,
            "SubmitCommands",
            order_pb2.SubmitCommandsRequest(commands=commands),
            market_id=items[0].request.market_id,
            authorization=items[0].authorization,
        )
        return list(response.results)

    async def _alone(
        self, request: order_pb2.PlaceOrderRequest, authorization: str
    ) -> order_pb2.PlaceOrderResponse:
        response: order_pb2.PlaceOrderResponse = await self._orders.call(
            ORDERS, "PlaceOrder", request, market_id=request.market_id, authorization=authorization
        )
        return response


def _settle(item: _Waiting, result: order_pb2.CommandResult) -> None:
    if result.HasField("error"):
        code = ErrorCode.__members__.get(result.error.code, ErrorCode.INTERNAL)
        details: Any = dict(result.error.metadata)
        _fail(item, ApiError(code, result.error.message, **details))
        return
    quote = result.quote if result.HasField("quote") else None
    item.answer.set_result(
        order_pb2.PlaceOrderResponse(order=result.order, quote=quote, replayed=result.replayed)
    )


def _fail(item: _Waiting, error: ApiError) -> None:
    if error.code in ALONE_AGAIN:
        item.answer.set_result(None)
    else:
        item.answer.set_exception(ApiError(error.code, error.message, fields=error.fields, **error.details))
