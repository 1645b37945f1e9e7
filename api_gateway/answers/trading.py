"""Orders, quotes, sets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api_gateway.answers.base import Count, Id, Micros, Shape, Time
from api_gateway.answers.markets import Outcome, Side

OrderStatus = Literal["OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED"]


class Match(Shape):
    """What was matched, and for how much."""

    market_id: Id
    seq: Count
    venue: Literal["BOOK", "POOL"]
    liquidity: Literal["MAKER", "TAKER"]
    side: Side
    outcome: Outcome
    price_micros: Count
    quantity_micros: Count
    cost_micros: Count
    fee_micros: Count
    netted_micros: Count


class Fill(Match):
    """One side of one match."""

    trade_id: Id
    order_id: Id
    time: Time


class Leg(Match):
    """A fill that would happen: it has no time yet, and its ids are not those of the order to come."""

    trade_id: str
    order_id: str
    time: Time | None


class OrderState(Shape):
    """What was asked for, and what became of it."""

    market_id: Id
    client_order_id: str | None
    side: Side
    outcome: Outcome
    type: Literal["LIMIT", "MARKET"]
    time_in_force: Literal["GTC", "GTD", "IOC", "FOK"]
    status: OrderStatus
    reason: str | None
    price_micros: Count | None
    quantity_micros: Count
    amount_micros: Count | None
    filled_micros: Count
    remaining_micros: Count
    cancelled_micros: Count
    cost_micros: Count
    fee_micros: Count
    average_price_micros: Count | None
    locked_micros: Count
    netted_micros: Count
    post_only: bool
    self_trade: Literal["CANCEL_TAKER", "CANCEL_MAKER"] | None
    expires_at: Time | None
    created_at: Time | None
    updated_at: Time | None
    seq: Count


class OrderRow(OrderState):
    """An order as it stands."""

    order_id: Id


class Order(OrderRow):
    """With the fills of the event told of; when read alone, with all its fills."""

    fills: list[Fill]


class Orders(Shape):
    """The orders that were cancelled."""

    items: list[Order]


class Quote(Shape):
    """What an order would do now."""

    cost_micros: Count
    fee_micros: Count
    total_micros: Count
    proceeds_micros: Count
    quantity_micros: Count
    average_price_micros: Count | None
    probability_before_micros: Count
    probability_after_micros: Count
    slippage_bps: Micros
    payout_micros: Count
    netted_micros: Count
    valid_seq: Count = Field(description="The market's event it is true for.")
    legs: list[Leg]


Zone = Literal["SAFE", "SLIPPAGE", "DANGER"]


class PlanLeg(Shape):
    """Neighbouring fills by one venue at one price."""

    venue: Literal["BOOK", "POOL"]
    price_micros: Count
    quantity_micros: Count
    cost_micros: Count
    fee_micros: Count
    netted_micros: Count
    makers: Count = Field(description="Resting orders filled.")


class Execution(Shape):
    """An order as it would be executed."""

    cost_micros: Count
    fee_micros: Count
    total_micros: Count
    proceeds_micros: Count
    quantity_micros: Count
    average_price_micros: Count | None
    probability_before_micros: Count
    probability_after_micros: Count
    slippage_bps: Micros = Field(description="Against the expected price, before fees.")
    payout_micros: Count
    netted_micros: Count
    resting_micros: Count = Field(description="What of a limit order would rest.")
    zone: Zone = Field(description="By slippage from the pool's price: SAFE to 100 bps, SLIPPAGE to 1,000.")


class ImpactPoint(Shape):
    """A MARKET order of one size."""

    amount_micros: Count | None = Field(description="Points spent, fee included; null for a SELL.")
    quantity_micros: Count
    average_price_micros: Count
    probability_after_micros: Count
    slippage_bps: Micros
    zone: Zone


class FullQuote(Execution):
    """What an order would do now."""

    valid_seq: Count = Field(description="The market's event it is true for.")
    spot_price_micros: Count = Field(description="Of the order's outcome in the pool.")
    is_within_slippage: bool
    is_affordable: bool = Field(
        description="Whether the caller's balance suffices; true for who has not logged in."
    )
    available_micros: Count | None = Field(description="The caller's points; null for who has not logged in.")
    largest: Execution | None = Field(
        description="BUY: all of the balance spent. SELL: everything unlocked sold."
    )
    legs: list[PlanLeg]
    impact: list[ImpactPoint]


class DryRun(OrderState):
    """The order that would be."""

    order_id: str
    fills: list[Leg]


class TriedOrder(DryRun):
    """A dry run with its figures."""

    quote: Quote


class ItemProblem(BaseModel):
    """Why an item was refused. Details of some codes stand beside these as texts."""

    model_config = ConfigDict(strict=True, frozen=True)

    code: str
    detail: str
    retryable: bool


class BatchResult(Shape):
    """One item: its order (of a dry run with a quote beside it), or why there is none."""

    order: Order | DryRun | None = None
    replayed: bool = False
    quote: Quote | None = None
    error: ItemProblem | None = None


class BatchResults(Shape):
    """In the order the items were given."""

    results: list[BatchResult]


class SetsDone(Shape):
    """Sets that were minted or merged."""

    market_id: Id
    seq: Count
    quantity_micros: Count
