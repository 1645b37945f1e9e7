"""Guards: what a command must satisfy before anything moves, in the order of `refusals.Code`."""

from __future__ import annotations

from engine.commands import PlaceOrder
from engine.refusals import Code, Refused
from engine.run import Run
from engine.state import Market, MarketStatus, OrderType, Outcome, Side, TimeInForce
from engine.units import AMOUNT_MAX_MICROS, BASIS_POINTS, MICROS, ORDER_MIN_MICROS


def refuse_if(condition: bool, code: Code, message: str, **details: str | int) -> None:
    if condition:
        raise Refused(code, message, **details)


def trading_is_open(market: Market, now: int) -> None:
    """Orders, mints and merges need an ACTIVE market before its `closes_at`."""
    refuse_if(
        market.status is not MarketStatus.ACTIVE,
        Code.MARKET_NOT_ACTIVE,
        f"The market is {market.status}; orders are taken while it is ACTIVE.",
        status=market.status,
    )
    refuse_if(
        bool(market.closes_at) and now >= market.closes_at,
        Code.MARKET_CLOSED,
        "The market is past its closing time.",
        closes_at=market.closes_at,
    )


def amount_in_range(amount_micros: int, name: str) -> None:
    refuse_if(
        not 0 <= amount_micros <= AMOUNT_MAX_MICROS,
        Code.INVALID_ARGUMENT,
        f"{name} must be between 0 and {AMOUNT_MAX_MICROS}.",
        field=name,
    )


def amount_is_enough(amount_micros: int, minimum_micros: int = ORDER_MIN_MICROS) -> None:
    refuse_if(
        amount_micros < minimum_micros,
        Code.AMOUNT_TOO_SMALL,
        f"The amount must be at least {minimum_micros} micros.",
        minimum_micros=minimum_micros,
    )


def order_is_well_formed(command: PlaceOrder, now: int) -> None:
    """The fields agree with each other; nothing of the market is looked at yet."""
    for name in ("price_micros", "quantity_micros", "amount_micros", "expected_price_micros"):
        amount_in_range(getattr(command, name), name)
    if command.type is OrderType.LIMIT:
        _limit_is_well_formed(command, now)
    else:
        _market_order_is_well_formed(command)


def _limit_is_well_formed(command: PlaceOrder, now: int) -> None:
    refuse_if(
        bool(command.amount_micros) or command.close_position,
        Code.INVALID_ARGUMENT,
        "A LIMIT order states price_micros and quantity_micros.",
    )
    good_till_date = command.time_in_force is TimeInForce.GTD
    refuse_if(
        good_till_date != bool(command.expires_at) or (good_till_date and command.expires_at <= now),
        Code.INVALID_ARGUMENT,
        "expires_at belongs to GTD orders and lies in the future.",
        field="expires_at",
    )
    refuse_if(
        command.post_only and command.time_in_force in (TimeInForce.IOC, TimeInForce.FOK),
        Code.INVALID_ARGUMENT,
        "A post_only order rests: use GTC or GTD.",
        field="post_only",
    )


def _market_order_is_well_formed(command: PlaceOrder) -> None:
    sizes = (command.quantity_micros > 0) + (command.amount_micros > 0) + command.close_position
    buys = command.side is Side.BUY
    refuse_if(
        sizes > 1 or (command.close_position and buys) or (command.amount_micros > 0 and not buys),
        Code.INVALID_ARGUMENT,
        "A MARKET order states one of amount_micros (BUY), quantity_micros or close_position (SELL).",
    )
    refuse_if(
        bool(command.price_micros)
        or command.post_only
        or bool(command.expires_at)
        or command.time_in_force in (TimeInForce.GTD, TimeInForce.FOK),
        Code.INVALID_ARGUMENT,
        "A MARKET order is IOC and has no price_micros, post_only or expires_at.",
    )
    refuse_if(
        not 0 <= command.max_slippage_bps <= BASIS_POINTS or command.expected_price_micros >= MICROS,
        Code.INVALID_ARGUMENT,
        "max_slippage_bps is 0..10,000 and expected_price_micros below 1,000,000.",
        field="max_slippage_bps",
    )


def limit_fits_market(market: Market, price_micros: int, quantity_micros: int) -> None:
    """The price on the tick, the quantity in whole lots."""
    tick, lot = market.tick_micros, market.lot_micros
    refuse_if(
        price_micros % tick != 0 or not tick <= price_micros <= MICROS - tick,
        Code.PRICE_NOT_ON_TICK,
        f"The price must be a multiple of {tick} from {tick} to {MICROS - tick}.",
        tick_micros=tick,
    )
    amount_is_enough(quantity_micros)
    refuse_if(
        quantity_micros % lot != 0,
        Code.QUANTITY_NOT_ON_LOT,
        f"The quantity must be a multiple of the lot, {lot}.",
        lot_micros=lot,
    )


def shares_are_there(run: Run, user_id: str, outcome: Outcome, quantity_micros: int) -> None:
    unlocked = run.unlocked(user_id, outcome)
    refuse_if(
        unlocked < quantity_micros,
        Code.INSUFFICIENT_SHARES,
        f"You hold {unlocked} {outcome} that no open order locks.",
        available_micros=max(0, unlocked),
        needed_micros=quantity_micros,
    )


def points_are_there(run: Run, user_id: str, needed_micros: int) -> None:
    available = run.state.account(user_id).available
    refuse_if(
        available < needed_micros,
        Code.INSUFFICIENT_FUNDS,
        "You do not have the points this needs.",
        available_micros=available,
        needed_micros=needed_micros,
    )
