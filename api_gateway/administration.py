"""/v1/admin: markets' terms and lifecycle, grants, sweeps."""

from typing import Any

from api_gateway import admin_models, models, shapes
from api_gateway.routing import Answer, Call
from engine.commands import TREASURY_ID
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode

ADMIN = order_pb2_grpc.MarketAdminServiceStub
TERMS_TEXTS = ("question", "description", "rules", "resolution_source", "category")
TERMS_NUMBERS = ("tick_micros", "fee_bps", "liquidity_micros", "initial_probability_micros")
TERMS_TIMES = ("opens_at", "closes_at")
SETTLEMENT_SECONDS = 8.0


async def create(call: Call) -> Answer:
    """A DRAFT."""
    body = call.parsed(admin_models.Terms)
    terms = order_pb2.MarketTerms(
        **{name: getattr(body, name) for name in TERMS_TEXTS + TERMS_NUMBERS},
        opens_at=models.micros_of(body.opens_at),
        closes_at=models.micros_of(body.closes_at),
    )
    request = order_pb2.CreateMarketRequest(idempotency_key=call.idempotency_key, terms=terms)
    response = await call.clients.orders.call(
        ADMIN, "CreateMarket", request, authorization=call.authorization
    )
    return _market(response, status=201)


async def edit(call: Call) -> Answer:
    """New terms: those of the market, with what the body says in their place."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    body = call.parsed(admin_models.EditTerms)
    now = await call.clients.orders.call(
        order_pb2_grpc.OrderServiceStub,
        "GetMarket",
        order_pb2.GetMarketRequest(market_id=market_id),
        market_id=market_id,
        authorization=call.authorization,
    )
    request = order_pb2.EditMarketRequest(
        idempotency_key=call.idempotency_key, market_id=market_id, terms=edited_terms(now.market, body)
    )
    return _market(await _ask(call, "EditMarket", request))


async def delete(call: Call) -> Answer:
    """Withdraws a DRAFT."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    request = order_pb2.DeleteMarketRequest(idempotency_key=call.idempotency_key, market_id=market_id)
    response = await _ask(call, "DeleteMarket", request)
    return Answer(None, status=204, replayed=response.replayed)


async def activate(call: Call) -> Answer:
    """Opens a DRAFT."""
    return await _step(call, "ActivateMarket", order_pb2.ActivateMarketRequest)


async def pause(call: Call) -> Answer:
    """Stops trading."""
    return await _step(call, "PauseMarket", order_pb2.PauseMarketRequest)


async def resume(call: Call) -> Answer:
    """Trades again."""
    return await _step(call, "ResumeMarket", order_pb2.ResumeMarketRequest)


async def resolve(call: Call) -> Answer:
    """Decides."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    body = call.parsed(admin_models.Resolve)
    request = order_pb2.ResolveMarketRequest(
        idempotency_key=call.idempotency_key,
        market_id=market_id,
        outcome=f"VERDICT_{body.outcome}",
        reason=body.reason,
        dry_run=body.dry_run,
    )
    return _settlement(await _ask(call, "ResolveMarket", request))


async def cancel(call: Call) -> Answer:
    """Gives cost bases back."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    body = call.parsed(admin_models.CancelMarket)
    request = order_pb2.CancelMarketRequest(
        idempotency_key=call.idempotency_key,
        market_id=market_id,
        pro_rata=body.pro_rata,
        reason=body.reason,
        dry_run=body.dry_run,
    )
    return _settlement(await _ask(call, "CancelMarket", request))


async def grant(call: Call) -> Answer:
    """Points for one user."""
    return await _grant(call, call.id(ErrorCode.USER_NOT_FOUND), call.parsed(admin_models.Grant))


async def grant_treasury(call: Call) -> Answer:
    """Points for the treasury, which pays for markets' liquidity."""
    return await _grant(call, TREASURY_ID, call.parsed(admin_models.Grant))


async def sweep(call: Call) -> Answer:
    """One market's revenue to the treasury."""
    body = call.parsed(admin_models.Sweep)
    request = order_pb2.SweepMarketRequest(idempotency_key=call.idempotency_key, market_id=body.market_id)
    response = await _ask(call, "SweepMarket", request)
    document = {"market_id": body.market_id, "swept_micros": response.swept_micros, "seq": response.seq}
    return Answer(document, replayed=response.replayed)


def edited_terms(market: common_pb2.Market, body: admin_models.EditTerms) -> order_pb2.MarketTerms:
    """What the body does not name stays; a time that is null is taken away."""
    values: dict[str, Any] = {}
    for name in TERMS_TEXTS + TERMS_NUMBERS:
        given = getattr(body, name)
        values[name] = getattr(market, name) if given is None else given
    for name in TERMS_TIMES:
        named = name in body.model_fields_set
        values[name] = models.micros_of(getattr(body, name)) if named else getattr(market, name)
    return order_pb2.MarketTerms(**values)


async def _grant(call: Call, user_id: str, body: admin_models.Grant) -> Answer:
    if not call.idempotency_key:
        raise ApiError(ErrorCode.INVALID_ARGUMENT, "a grant needs an Idempotency-Key")
    request = order_pb2.GrantPointsRequest(
        idempotency_key=call.idempotency_key,
        user_id=user_id,
        kind=body.kind,
        amount_micros=body.amount_micros,
        reason=body.reason,
    )
    response = await call.clients.orders.call(
        order_pb2_grpc.PointsServiceStub, "GrantPoints", request, authorization=call.authorization
    )
    document = {"user_id": user_id, "seq": response.seq, "available_micros": response.available_micros}
    return Answer(document, status=201, replayed=response.replayed)


async def _step(call: Call, method: str, request_class: Any) -> Answer:
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    body = call.parsed(admin_models.Step)
    request = request_class(idempotency_key=call.idempotency_key, market_id=market_id, dry_run=body.dry_run)
    return _market(await _ask(call, method, request))


async def _ask(call: Call, method: str, request: Any) -> Any:
    return await call.clients.orders.call(
        ADMIN,
        method,
        request,
        market_id=request.market_id,
        authorization=call.authorization,
        deadline_seconds=SETTLEMENT_SECONDS,
    )


def _market(response: Any, status: int = 200) -> Answer:
    return Answer(shapes.admin_market(response.market), status=status, replayed=response.replayed)


def _settlement(response: Any) -> Answer:
    document = {
        **shapes.admin_market(response.market),
        "settlement": shapes.settlement(response.settlement),
    }
    return Answer(document, replayed=response.replayed)
