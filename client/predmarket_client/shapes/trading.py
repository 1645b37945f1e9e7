"""Orders, what they did, what they would do."""

from datetime import datetime
from typing import Literal

import msgspec

from predmarket_client.shapes.markets import Outcome, Side

TimeInForce = Literal["GTC", "GTD", "IOC", "FOK"]
SelfTrade = Literal["CANCEL_TAKER", "CANCEL_MAKER"]
OrderStatus = Literal["OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED"]
OPEN_STATUSES = frozenset({"OPEN", "PARTIALLY_FILLED"})


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order to place; `limit` and `market` make the usual ones. Quantities and amounts in micros.

    `client_order_id` names the order for you, and makes its placement happen once.
    """

    market_id: str
    side: Side
    outcome: Outcome
    type: Literal["LIMIT", "MARKET"]
    time_in_force: TimeInForce | None = None
    price_micros: int | None = None
    quantity_micros: int | None = None
    amount_micros: int | None = None
    close_position: bool = False
    post_only: bool = False
    self_trade: SelfTrade | None = None
    expires_at: datetime | None = None
    max_slippage_bps: int | None = None
    expected_price_micros: int | None = None
    client_order_id: str | None = None


def limit(
    side: Side,
    outcome: Outcome,
    market_id: str,
    *,
    price_micros: int,
    quantity_micros: int,
    time_in_force: TimeInForce = "GTC",
    post_only: bool = False,
    self_trade: SelfTrade | None = None,
    expires_at: datetime | None = None,
    client_order_id: str | None = None,
) -> NewOrder:
    """An order with a price: rests until filled or cancelled (GTC), until a time (GTD), or never (IOC, FOK).

    The price is a multiple of the market's `tick_micros`, the quantity of its `lot_micros`.
    """
    return NewOrder(
        market_id=market_id,
        side=side,
        outcome=outcome,
        type="LIMIT",
        time_in_force=time_in_force,
        price_micros=price_micros,
        quantity_micros=quantity_micros,
        post_only=post_only,
        self_trade=self_trade,
        expires_at=expires_at,
        client_order_id=client_order_id,
    )


def market(
    side: Side,
    outcome: Outcome,
    market_id: str,
    *,
    amount_micros: int | None = None,
    quantity_micros: int | None = None,
    close_position: bool = False,
    max_slippage_bps: int | None = None,
    expected_price_micros: int | None = None,
    client_order_id: str | None = None,
) -> NewOrder:
    """An order at the best prices there are: a BUY spends `amount_micros`, or either side trades `quantity_micros`,
    or a SELL closes the whole position. Refused when it would slip by more than `max_slippage_bps` (default 1 %)."""
    return NewOrder(
        market_id=market_id,
        side=side,
        outcome=outcome,
        type="MARKET",
        amount_micros=amount_micros,
        quantity_micros=quantity_micros,
        close_position=close_position,
        max_slippage_bps=max_slippage_bps,
        expected_price_micros=expected_price_micros,
        client_order_id=client_order_id,
    )


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an order that was filled. `liquidity` is MAKER or TAKER; only takers pay fees."""

    trade_id: str
    order_id: str
    market_id: str
    venue: str
    side: Side
    outcome: Outcome
    price_micros: int
    quantity_micros: int
    cost_micros: int
    fee_micros: int
    netted_micros: int
    liquidity: str = ""
    seq: int = 0
    time: datetime | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stood after event `seq` of its market; `fills` as far as the answer tells them."""

    order_id: str
    market_id: str
    side: Side
    outcome: Outcome
    type: str
    time_in_force: str
    status: str
    quantity_micros: int
    filled_micros: int
    remaining_micros: int
    cost_micros: int
    fee_micros: int
    locked_micros: int
    netted_micros: int
    seq: int
    client_order_id: str | None = None
    reason: str | None = None
    price_micros: int | None = None
    amount_micros: int | None = None
    cancelled_micros: int = 0
    average_price_micros: int | None = None
    post_only: bool = False
    self_trade: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    fills: tuple[Fill, ...] = ()

    @property
    def is_open(self) -> bool:
        """It rests on the book."""
        return self.status in OPEN_STATUSES


Zone = Literal["SAFE", "SLIPPAGE", "DANGER"]


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an order's fill plan; `makers`: how many resting orders it takes."""

    venue: str
    price_micros: int
    quantity_micros: int
    cost_micros: int
    fee_micros: int
    netted_micros: int
    makers: int = 0


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """An order's figures as it would be executed. `slippage_bps`: what `max_slippage_bps` has to allow."""

    cost_micros: int
    fee_micros: int
    total_micros: int
    proceeds_micros: int
    quantity_micros: int
    average_price_micros: int | None
    probability_before_micros: int
    probability_after_micros: int
    slippage_bps: int
    payout_micros: int
    netted_micros: int
    resting_micros: int = 0
    zone: Zone | None = None


class ImpactPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a market order of one size would pay; `amount_micros` is None for a SELL."""

    amount_micros: int | None
    quantity_micros: int
    average_price_micros: int
    probability_after_micros: int
    slippage_bps: int
    zone: Zone


class Quote(Execution, frozen=True, kw_only=True):
    """What an order would do at event `valid_seq`, and how it would be filled. Of a dry run only that.

    `largest`: the market order that spends all there is (BUY) or sells everything unlocked. `impact`: a curve of prices
    at growing sizes.
    """

    valid_seq: int
    legs: tuple[Leg, ...] = ()
    spot_price_micros: int = 0
    is_within_slippage: bool = True
    is_affordable: bool = True
    available_micros: int | None = None
    largest: Execution | None = None
    impact: tuple[ImpactPoint, ...] = ()


class DryRun(Order, frozen=True, kw_only=True):
    """The order as it would stand, and its quote. Nothing was done."""

    quote: Quote


class Sets(msgspec.Struct, frozen=True, kw_only=True):
    """Sets minted or merged by event `seq`."""

    market_id: str
    seq: int
    quantity_micros: int
