"""Orders that arrive while calls are in flight go together in the next one: a unary call costs more than an order.

No timer: an order that finds a call free goes at the end of the loop's tick, with those that came in the same one (who
is answered together comes back together). Each order is answered on its own, under its own caller's token.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode, NoAnswer
from runtime.logs import get_logger
from runtime.order_shards import OrderShards, is_repeatable
from runtime.surprises import as_api_error
from runtime.tracing import begin_joint_work, current_trace_id

log = get_logger(__name__)

ORDERS = order_pb2_grpc.OrderServiceStub
IN_FLIGHT_MAX = 2
TOGETHER_MAX = 200
WAITING_MAX = 5_000
# Nothing was done with the item: asked alone it is done after all, or refused with every detail.
ALONE_AGAIN = frozenset(
    {ErrorCode.NOT_SHARD_OWNER, ErrorCode.INVALID_ARGUMENT, ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}
)


Placed = order_pb2.PlaceOrderResponse | order_pb2.CommandResult
"""Both have `order`, `quote` and `replayed`."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: order_pb2.PlaceOrderRequest
    authorization: str
    answer: "asyncio.Future[Placed | None]"
    """None: ask alone."""
    context: contextvars.Context
    """The ids and the deadline of its request."""


@dataclass(slots=True)
class _Lane:
    """The calls to one order_service process."""

    in_flight: int = 0
    is_due: bool = False
    """Whether what waits goes at the end of this tick."""
    waiting: deque[_Waiting] = field(default_factory=deque)


class OrderGatherer:
    """`place` is what handlers call. `together` False: every order is a call of its own, as many at once as come."""

    def __init__(self, orders: OrderShards, *, together: bool) -> None:
        self._orders = orders
        self._together_at_all = together
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def place(self, request: order_pb2.PlaceOrderRequest, authorization: str) -> Placed:
        """Raises ApiError."""
        if not self._together_at_all:
            return await self._alone(request, authorization)
        lane = self._lanes.setdefault(await self._orders.owner(request.market_id), _Lane())
        if len(lane.waiting) >= WAITING_MAX:
            raise ApiError(ErrorCode.OVERLOADED)
        loop = asyncio.get_running_loop()
        item = _Waiting(request, authorization, loop.create_future(), contextvars.copy_context())
        lane.waiting.append(item)
        if lane.in_flight < IN_FLIGHT_MAX and not lane.is_due:
            lane.is_due = True
            loop.call_soon(self._go_on, lane)
        return await item.answer or await self._alone(request, authorization)

    async def close(self) -> None:
        """Waits for the calls under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self, lane: _Lane) -> None:
        """What waits goes in one call, in a task of its own: a caller that leaves takes nobody along."""
        lane.is_due = False
        while lane.waiting and lane.in_flight < IN_FLIGHT_MAX:
            items = [lane.waiting.popleft() for _ in range(min(TOGETHER_MAX, len(lane.waiting)))]
            items = [item for item in items if not item.answer.done()]
            if not items:
                continue
            lane.in_flight += 1
            if len(items) == 1:
                work, context = self._one(lane, items[0]), items[0].context
            else:  # of several none has a right to its own deadline and ids
                work, context = self._together(lane, items), contextvars.Context()
            task = asyncio.create_task(work, name="orders", context=context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, lane: _Lane, item: _Waiting) -> None:
        try:
            placed = await self._alone(item.request, item.authorization)
            if not item.answer.done():
                item.answer.set_result(placed)
        except Exception as error:
            if not item.answer.done():
                item.answer.set_exception(error)
        finally:
            self._done(lane, [item])

    async def _together(self, lane: _Lane, items: list[_Waiting]) -> None:
        span = begin_joint_work("orders together", [item.context for item in items])
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
            span.end()
            self._done(lane, items)

    def _done(self, lane: _Lane, items: list[_Waiting]) -> None:
        for item in items:
            item.answer.cancel()  # answered ones stay as they are; nobody waits for ever
        lane.in_flight -= 1
        self._go_on(lane)

    async def _submit(self, items: list[_Waiting]) -> Sequence[order_pb2.CommandResult]:
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
        results: Sequence[order_pb2.CommandResult] = response.results
        return results

    async def _alone(self, request: order_pb2.PlaceOrderRequest, authorization: str) -> Placed:
        response: order_pb2.PlaceOrderResponse = await self._orders.call(
            ORDERS, "PlaceOrder", request, market_id=request.market_id, authorization=authorization
        )
        return response


def _settle(item: _Waiting, result: order_pb2.CommandResult) -> None:
    if result.HasField("error"):
        code = ErrorCode.__members__.get(result.error.code, ErrorCode.INTERNAL)
        details: Any = dict(result.error.metadata)
        _fail(item, ApiError(code, result.error.message, **details))
    else:
        item.answer.set_result(result)


def _fail(item: _Waiting, error: ApiError) -> None:
    if error.code in ALONE_AGAIN:
        item.answer.set_result(None)
    else:
        if error.code == ErrorCode.INTERNAL:  # order_service told it under our ids; the caller knows its own
            item.context.run(log.error, "an order failed", sent_with_trace_id=current_trace_id())
        item.answer.set_exception(ApiError(error.code, error.message, fields=error.fields, **error.details))
