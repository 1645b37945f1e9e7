"""Events and live state to answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from db_service.store.shown import OUTCOMES, SIDES, order_message
from engine.commands import AmendOrder, PlaceOrder
from engine.events import Event, TradeFill
from engine.quotes import figures_of
from engine.replay import assign
from engine.state import Market, MarketState, Order, Outcome, Side
from engine.units import MICROS
from order_service.parse import bad_field
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2


def fill_messages(event: Event, order_id: str) -> list[common_pb2.Fill]:
    """The fills of one order in this event."""
    return [_fill(event, fill) for fill in event.fills if fill.fill.order_id == order_id]


def _fill(event: Event, filled: TradeFill) -> common_pb2.Fill:
    fill = filled.fill
    return common_pb2.Fill(
        trade_id=filled.trade_id,
        order_id=fill.order_id,
        market_id=event.market_id,
        seq=event.seq,
        venue=filled.trade.venue,
        liquidity="TAKER" if fill.taker else "MAKER",
        side=SIDES[fill.side],
        outcome=OUTCOMES[fill.outcome],
        price_micros=fill.price_micros,
        quantity_micros=fill.quantity,
        cost_micros=fill.cost,
        fee_micros=fill.fee,
        netted_micros=fill.netted,
        time=event.time,
    )


def order_after(event: Event, identity: Order) -> common_pb2.Order:
    """The order as this event left it; `identity` gives what never changes, and is overwritten."""
    after = next(order for order in event.effects.orders if order.order_id == identity.order_id)
    assign(identity, after, event)
    return order_message(identity, fill_messages(event, identity.order_id))


def quote_message(event: Event, order: common_pb2.Order, market: Market) -> order_pb2.Quote:
    """The figures of a dry run; `market` as it was before."""
    command = event.command
    assert isinstance(command, PlaceOrder | AmendOrder)
    figures = figures_of(
        event.effects,
        command.order_id,
        side=Side.BUY if order.side == common_pb2.SIDE_BUY else Side.SELL,
        outcome=Outcome.YES if order.outcome == common_pb2.OUTCOME_YES else Outcome.NO,
        before=market,
        stated_micros=command.expected_price_micros if isinstance(command, PlaceOrder) else 0,
    )
    return order_pb2.Quote(
        cost_micros=figures.cost if figures.side is Side.BUY else 0,
        fee_micros=figures.fee,
        total_micros=figures.total,
        proceeds_micros=figures.proceeds,
        quantity_micros=figures.quantity,
        average_price_micros=figures.average_price,
        probability_before_micros=figures.probability_before,
        probability_after_micros=figures.probability_after,
        slippage_bps=figures.slippage_bps,
        payout_micros=figures.payout,
        netted_micros=figures.netted,
        valid_seq=event.seq - 1,
        legs=order.fills,
    )


def book_message(
    state: MarketState, *, depth: int, epoch: int, last_trade_seq: int
) -> order_pb2.GetBookResponse:
    """Both ladders in YES prices, best first; depth 0: all."""
    if not 0 <= depth <= 1_000:
        raise bad_field("depth", "must be between 0 and 1,000")
    market = state.market
    bids = sorted(state.ladders[Outcome.YES].levels.items(), reverse=True)
    asks = sorted((MICROS - bid, quantity) for bid, quantity in state.ladders[Outcome.NO].levels.items())
    return order_pb2.GetBookResponse(
        market_id=market.market_id,
        epoch=epoch,
        seq=market.seq,
        time=market.updated_at,
        bids=_levels(bids, depth),
        asks=_levels(asks, depth),
        pool_yes_micros=market.pool_yes,
        pool_no_micros=market.pool_no,
        status=market.status.value,
        reason=market.reason,
        last_trade_seq=last_trade_seq,
    )


def _levels(levels: Sequence[tuple[int, int]], depth: int) -> Iterable[order_pb2.Level]:
    shown = levels[:depth] if depth else levels
    return [order_pb2.Level(price_micros=price, quantity_micros=quantity) for price, quantity in shown]
