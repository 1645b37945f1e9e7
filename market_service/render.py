"""Replicas and quotes as messages."""

from __future__ import annotations

from collections.abc import Sequence

from db_service.store.shown import market_message
from engine.depth import Depth, Level
from engine.quotes import Leg
from engine.state import Market, Side
from market_service.day import DayFigures
from market_service.live import LiveMarket
from market_service.quoting import SAFE_BPS, SLIPPAGE_BPS, Execution, Quote
from predmarket.market.v1 import market_pb2

HOUSE = (
    "vault_micros",
    "treasury_yes_micros",
    "treasury_no_micros",
    "treasury_points_micros",
    "pending_micros",
)
"""What only admins see."""


def details(market: Market, shard_id: int, day: DayFigures, *, house_too: bool) -> market_pb2.MarketDetails:
    """A market."""
    message = market_message(market, seq=market.seq, shard=shard_id if house_too else 0)
    if not house_too:
        for name in HOUSE:
            message.ClearField(name)
    return market_pb2.MarketDetails(
        market=message, volume_24h_micros=day.volume_micros, change_24h_micros=day.change_micros
    )


def ticker(live: LiveMarket, day: DayFigures) -> market_pb2.Ticker:
    """A market in figures; the best prices are of book and pool together."""
    market = live.market
    best = live.depth(1, merged=True)
    bid = best.bids[0].price if best.bids else 0
    ask = best.asks[0].price if best.asks else 0
    return market_pb2.Ticker(
        market_id=market.market_id,
        seq=live.seq,
        probability_micros=market.probability_micros,
        best_bid_micros=bid,
        best_ask_micros=ask,
        mid_micros=(bid + ask) // 2 if bid and ask else 0,
        last_price_micros=market.last_price_micros,
        change_24h_micros=day.change_micros,
        volume_24h_micros=day.volume_micros,
        volume_micros=market.volume,
        open_interest_micros=market.collateral,
        status=market.status.value,
        time=market.updated_at,
    )


def book(live: LiveMarket, depth: Depth) -> market_pb2.GetBookResponse:
    """A whole book."""
    market = live.market
    return market_pb2.GetBookResponse(
        market_id=market.market_id,
        epoch=live.book.epoch,
        seq=live.seq,
        time=market.updated_at,
        status=market.status.value,
        reason=market.reason,
        bids=levels(depth.bids),
        asks=levels(depth.asks),
        pool_yes_micros=market.pool_yes,
        pool_no_micros=market.pool_no,
    )


def levels(shown: Sequence[Level]) -> list[market_pb2.BookLevel]:
    return [
        market_pb2.BookLevel(
            price_micros=level.price,
            quantity_micros=level.quantity,
            book_micros=level.book,
            pool_micros=level.pool,
        )
        for level in shown
    ]


def quote(
    made: Quote, available_micros: int, curve: Sequence[tuple[int, Execution]]
) -> market_pb2.GetQuoteResponse:
    """A quote with its curve."""
    return market_pb2.GetQuoteResponse(
        valid_seq=made.valid_seq,
        spot_price_micros=made.spot_price,
        execution=execution(made.execution),
        legs=[_leg(leg) for leg in made.execution.legs],
        is_within_slippage=made.is_within_slippage,
        is_affordable=made.is_affordable,
        available_micros=available_micros,
        largest=None if made.largest is None else execution(made.largest),
        impact=[_point(amount, each) for amount, each in curve],
    )


def execution(made: Execution) -> market_pb2.Execution:
    figures = made.figures
    return market_pb2.Execution(
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
        resting_micros=figures.resting,
        zone=zone(made.price_slippage_bps),
    )


def zone(slippage_bps: int) -> market_pb2.ImpactZone:
    """How far from the pool's price."""
    if slippage_bps <= SAFE_BPS:
        return market_pb2.IMPACT_ZONE_SAFE
    return market_pb2.IMPACT_ZONE_SLIPPAGE if slippage_bps <= SLIPPAGE_BPS else market_pb2.IMPACT_ZONE_DANGER


def _leg(leg: Leg) -> market_pb2.QuoteLeg:
    return market_pb2.QuoteLeg(
        venue=leg.venue,
        price_micros=leg.price,
        quantity_micros=leg.quantity,
        cost_micros=leg.cost,
        fee_micros=leg.fee,
        netted_micros=leg.netted,
        makers=leg.makers,
    )


def _point(amount: int, made: Execution) -> market_pb2.ImpactPoint:
    return market_pb2.ImpactPoint(
        amount_micros=amount,
        quantity_micros=made.figures.quantity,
        average_price_micros=made.figures.average_price,
        probability_after_micros=made.figures.probability_after,
        slippage_bps=made.price_slippage_bps,
        zone=zone(made.price_slippage_bps),
    )
