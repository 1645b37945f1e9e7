"""/v1/orders, /v1/quotes, mint and merge."""

import asyncio
from collections import defaultdict
from typing import Any

from api_gateway import models, shapes
from api_gateway.gather import Placed
from api_gateway.routing import Answer, Call
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call as ask

ORDERS = order_pb2_grpc.OrderServiceStub
BATCH_SECONDS = 8.0


async def place(call: Call) -> Answer:
    """201 with the order after matching; 200 for a dry run, with its figures."""
    body = call.parsed(models.PlaceOrder)
    response = await _place(call, place_request(body, call.idempotency_key))
    answer = shapes.order(response.order)
    if body.dry_run:
        return Answer({**answer, "quote": shapes.quote(response.quote)})
    return Answer(answer, status=201, replayed=response.replayed)


async def quote(call: Call) -> Answer:
    """What the order would do now."""
    body = call.parsed(models.QuoteOrder)
    request = market_pb2.GetQuoteRequest(
        market_id=body.market_id,
        side=f"SIDE_{body.side}",
        outcome=f"OUTCOME_{body.outcome}",
        type=f"QUOTE_TYPE_{body.type}",
        time_in_force=f"QUOTE_TIME_{body.time_in_force or 'UNSPECIFIED'}",
        price_micros=body.price_micros or 0,
        quantity_micros=body.quantity_micros or 0,
        amount_micros=body.amount_micros or 0,
        close_position=body.close_position,
        post_only=body.post_only,
        cancel_own_makers=body.self_trade == "CANCEL_MAKER",
        max_slippage_bps=body.max_slippage_bps,
        expected_price_micros=body.expected_price_micros or 0,
        expires_at=models.micros_of(body.expires_at),
        balance_micros=body.balance_micros or 0,
        with_impact=body.impact,
    )
    answer = await ask(call.clients.market.GetQuote, request, authorization=call.authorization)
    return Answer(shapes.full_quote(answer, is_known=call.identity is not None))


async def batch(call: Call) -> Answer:
    """Each item answered on its own, in the order they were given. IDEMPOTENCY_KEY_REUSED when all are refused so."""
    bodies = call.parsed(models.Batch).orders
    items = [_batch_item(body, number, call.idempotency_key) for number, body in enumerate(bodies)]
    groups: defaultdict[str, list[int]] = defaultdict(list)
    owners = await asyncio.gather(*(call.clients.orders.owner(body.market_id) for body in bodies))
    for number, owner in enumerate(owners):
        groups[owner].append(number)
    results: dict[int, dict[str, Any]] = {}
    answers = await asyncio.gather(*(_submit(call, items, numbers) for numbers in groups.values()))
    for numbers, answer in zip(groups.values(), answers, strict=True):
        results.update(zip(numbers, answer, strict=True))
    return _answer([results[number] for number in range(len(items))])


async def amend(call: Call) -> Answer:
    """The order after the change."""
    order_id = call.id(ErrorCode.ORDER_NOT_FOUND)
    body = call.parsed(models.AmendOrder)
    request = order_pb2.AmendOrderRequest(
        idempotency_key=call.idempotency_key,
        order_id=order_id,
        market_id=body.market_id or "",
        price_micros=body.price_micros or 0,
        quantity_micros=body.quantity_micros or 0,
    )
    response = await call.clients.orders.call(
        ORDERS, "AmendOrder", request, market_id=request.market_id, authorization=call.authorization
    )
    return Answer(shapes.order(response.order), replayed=response.replayed)


async def cancel(call: Call) -> Answer:
    """The order as it ended."""
    request = order_pb2.CancelOrderRequest(
        idempotency_key=call.idempotency_key, order_id=call.id(ErrorCode.ORDER_NOT_FOUND)
    )
    response = await call.clients.orders.call(
        ORDERS, "CancelOrder", request, authorization=call.authorization
    )
    return Answer(shapes.order(response.order), replayed=response.replayed)


async def cancel_all(call: Call) -> Answer:
    """Every open order of the caller in one market."""
    market_id = call.parsed_query(models.MarketQuery).market_id
    request = order_pb2.CancelAllOrdersRequest(idempotency_key=call.idempotency_key, market_id=market_id)
    response = await call.clients.orders.call(
        ORDERS, "CancelAllOrders", request, market_id=market_id, authorization=call.authorization
    )
    return Answer({"items": [shapes.order(item) for item in response.orders]}, replayed=response.replayed)


async def mint(call: Call) -> Answer:
    """Points into as many YES and NO."""
    return await _sets(call, "MintSets", order_pb2.MintSetsRequest)


async def merge(call: Call) -> Answer:
    """YES and NO back into points."""
    return await _sets(call, "MergeSets", order_pb2.MergeSetsRequest)


def batch_cost(call: Call) -> int:
    """Each order counts; a body that is no batch costs what one order does."""
    orders = call.document().get("orders")
    return max(1, min(len(orders), models.BATCH_MAX)) if isinstance(orders, list) else 1


def place_request(body: models.PlaceOrder, idempotency_key: str) -> order_pb2.PlaceOrderRequest:
    """The message of a body; absent numbers are 0 there."""
    return order_pb2.PlaceOrderRequest(
        idempotency_key=idempotency_key,
        market_id=body.market_id,
        side=f"SIDE_{body.side}",
        outcome=f"OUTCOME_{body.outcome}",
        type=f"ORDER_TYPE_{body.type}",
        time_in_force=f"TIME_IN_FORCE_{body.time_in_force or 'UNSPECIFIED'}",
        price_micros=body.price_micros or 0,
        quantity_micros=body.quantity_micros or 0,
        amount_micros=body.amount_micros or 0,
        close_position=body.close_position,
        post_only=body.post_only,
        self_trade=f"SELF_TRADE_POLICY_{body.self_trade or 'UNSPECIFIED'}",
        expires_at=models.micros_of(body.expires_at),
        max_slippage_bps=body.max_slippage_bps,
        expected_price_micros=body.expected_price_micros or 0,
        client_order_id=body.client_order_id or "",
        dry_run=body.dry_run,
    )


async def _place(call: Call, request: order_pb2.PlaceOrderRequest) -> Placed:
    return await call.clients.gatherer.place(request, call.authorization or "")


def _batch_item(body: models.PlaceOrder, number: int, key: str) -> order_pb2.OrderCommand:
    """Keys are given here, so that an item keeps its own whatever shard it goes to."""
    own_key = f"{key}:{number}" if key and not body.client_order_id else ""
    return order_pb2.OrderCommand(place=place_request(body, own_key))


async def _submit(
    call: Call, items: list[order_pb2.OrderCommand], numbers: list[int]
) -> list[dict[str, Any]]:
    """The results of those items, which one process owns. Its refusal of the call is the answer to each."""
    chosen = [items[number] for number in numbers]
    try:
        response = await call.clients.orders.call(
            ORDERS,
            "SubmitCommands",
            order_pb2.SubmitCommandsRequest(commands=chosen),
            market_id=chosen[0].place.market_id,
            authorization=call.authorization,
            deadline_seconds=BATCH_SECONDS,
        )
    except ApiError as error:
        return [_problem(error.code, error.message, {}) for _ in chosen]
    return [await _settled(call, item, result) for item, result in zip(chosen, response.results, strict=True)]


async def _settled(
    call: Call, item: order_pb2.OrderCommand, result: order_pb2.CommandResult
) -> dict[str, Any]:
    """A shard that has just moved did nothing with the item: it is placed again, alone."""
    if result.HasField("error") and result.error.code == ErrorCode.NOT_SHARD_OWNER:
        call.clients.orders.forget(item.place.market_id)
        try:
            response = await _place(call, item.place)
        except ApiError as error:
            return _problem(error.code, error.message, error.details)
        return {"order": shapes.order(response.order), "replayed": response.replayed}
    if result.HasField("error"):
        code = ErrorCode.__members__.get(result.error.code, ErrorCode.INTERNAL)
        return _problem(code, result.error.message, result.error.metadata)
    done: dict[str, Any] = {"order": shapes.order(result.order), "replayed": result.replayed}
    if item.place.dry_run:
        done["quote"] = shapes.quote(result.quote)
    return done


def _answer(results: list[dict[str, Any]]) -> Answer:
    """A replay when nothing was done anew; under a key of another batch, which no item shares, a refusal."""
    codes = {result["error"]["code"] if "error" in result else None for result in results}
    if codes == {ErrorCode.IDEMPOTENCY_KEY_REUSED}:
        raise ApiError(ErrorCode.IDEMPOTENCY_KEY_REUSED)
    placed = [result["replayed"] for result in results if "order" in result]
    return Answer({"results": results}, replayed=bool(placed) and all(placed))


def _problem(code: ErrorCode, message: str, details: Any) -> dict[str, Any]:
    return {"error": {**details, "code": str(code), "detail": message, "retryable": code.retryable}}


async def _sets(call: Call, method: str, request_class: Any) -> Answer:
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    body = call.parsed(models.Sets)
    request = request_class(
        idempotency_key=call.idempotency_key, market_id=market_id, quantity_micros=body.quantity_micros
    )
    response = await call.clients.orders.call(
        ORDERS, method, request, market_id=market_id, authorization=call.authorization
    )
    document = {"market_id": market_id, "seq": response.seq, "quantity_micros": response.quantity_micros}
    return Answer(document, replayed=response.replayed)
