"""Orders, mint and merge on a copy of the world: every function changes its argument or raises `Refused`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor

from tests.oracle import pool
from tests.oracle.model import BUY, NO, SELL, YES, Fill, Market, Order, Refused, World, require, require_all
from tests.oracle.pool import UNIT
from tests.oracle.router import MAKERS_MAX, Router, Taker

AMOUNT_MIN = 1_000
AMOUNT_MAX = 10**15
OPEN_ORDERS_MAX = 200
RESTING = ("GTC", "GTD")


@dataclass(frozen=True, slots=True)
class Place:
    order_id: str
    user: str
    market_id: str
    side: str
    outcome: str
    kind: str = "LIMIT"
    time_in_force: str = "GTC"
    price: int = 0
    quantity: int = 0
    amount: int = 0
    expires_at: int | None = None
    post_only: bool = False
    max_slippage_bps: int = 100
    expected_price: int | None = None
    self_trade: str = "CANCEL_TAKER"


@dataclass(slots=True)
class Answer:
    """What an accepted command did: the orders it touched as they stand, its fills, its fee."""

    order: Order | None = None
    touched: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    fee: int = 0
    quote_bps: int | None = None


def open_for_trading(market: Market, now: int) -> None:
    if market.status == "DRAFT":
        raise Refused("MARKET_NOT_FOUND", "MARKET_NOT_ACTIVE")
    require(MARKET_NOT_ACTIVE=market.status != "ACTIVE", MARKET_CLOSED=now >= market.closes_at)


def place(world: World, now: int, command: Place, makers_max: int = MAKERS_MAX) -> Answer:
    market = world.markets[command.market_id]
    require_all(lambda: open_for_trading(market, now), lambda: check_shape(market, now, command))
    if command.kind == "MARKET":
        return place_market(world, market, now, command, makers_max)
    order = Order(
        command.order_id, command.user, command.side, command.outcome, command.kind, command.time_in_force,
        command.price, command.quantity, market.seq, command.self_trade, command.post_only,
        command.expires_at,
    )  # fmt: skip
    require(
        TOO_MANY_OPEN_ORDERS=order.time_in_force in RESTING
        and len(market.orders_of(order.user)) >= OPEN_ORDERS_MAX
    )
    return run_limit(world, market, now, order, makers_max)


def check_shape(market: Market, now: int, command: Place) -> None:
    if command.kind == "LIMIT":
        in_range = market.tick <= command.price <= UNIT - market.tick
        require(
            PRICE_NOT_ON_TICK=not in_range or command.price % market.tick != 0,
            INVALID_ARGUMENT=not in_range
            or not 0 < command.quantity <= AMOUNT_MAX
            or (command.time_in_force == "GTD" and (command.expires_at is None or command.expires_at <= now)),
            QUANTITY_NOT_ON_LOT=command.quantity % market.lot != 0,
            AMOUNT_TOO_SMALL=command.quantity < AMOUNT_MIN,
        )
        return
    small = 1 if command.side == SELL else AMOUNT_MIN
    size = command.amount if command.amount else command.quantity
    require(
        AMOUNT_TOO_SMALL=size < small,
        INVALID_ARGUMENT=not 0 < size <= AMOUNT_MAX
        or not 0 <= command.max_slippage_bps <= 10_000
        or (command.side == SELL and command.amount != 0),
    )


def check_cover(world: World, market: Market, user: str, side: str, outcome: str, quantity: int) -> None:
    if side == SELL:
        require(INSUFFICIENT_SHARES=market.free_shares(user, outcome) < quantity)


def place_market(world: World, market: Market, now: int, command: Place, makers_max: int) -> Answer:
    check_cover(world, market, command.user, command.side, command.outcome, command.quantity)
    expected = Fraction(market.no if command.outcome == YES else market.yes, market.yes + market.no) * UNIT
    if command.expected_price is not None:
        expected = Fraction(command.expected_price)
    taker = Taker(
        command.order_id, command.user, command.side, command.outcome,
        limit=UNIT - 1 if command.side == BUY else 1, whole_lots=False, self_trade=command.self_trade,
        quantity=None if command.amount else command.quantity, amount=command.amount or None,
    )  # fmt: skip
    router = Router(world, market, taker, now, makers_max)
    router.run()
    needed = bps_needed(taker, expected) if taker.filled else 0
    slips = needed is None or needed > command.max_slippage_bps
    require_all(lambda: require_accepted(world, taker), lambda: require(SLIPPAGE_EXCEEDED=slips))
    charge(market, taker)
    quantity = taker.filled if taker.quantity is None else taker.quantity
    order = Order(
        command.order_id, command.user, command.side, command.outcome, command.kind, command.time_in_force,
        command.price, quantity, market.seq, command.self_trade,
    )  # fmt: skip
    complete = router.exhausted()
    note_fills(order, taker)
    order.cancelled = order.remaining
    order.status, order.reason = ("FILLED", "") if complete else ("CANCELLED", taker.stop or "UNFILLED")
    return Answer(order, {**router.touched, order.order_id: order}, taker.fills, taker.fee, needed)


def require_accepted(world: World, taker: Taker) -> None:
    require(
        NOTHING_FILLED=taker.filled == 0,
        SELF_TRADE=taker.filled == 0 and taker.stop == "SELF_TRADE",
        INSUFFICIENT_FUNDS=world.available(taker.user) < 0,
    )


def bps_needed(taker: Taker, expected: Fraction) -> int | None:
    """The smallest slippage in basis points that passes; None when none does."""
    if taker.side == BUY:
        if expected == 0:
            return None
        ratio = Fraction(taker.cost * UNIT, taker.filled) / expected
        return max(0, ceil(ratio * 10_000) - 10_000)
    if expected == 0:
        return 0
    ratio = Fraction(taker.output * UNIT, taker.filled) / expected
    return max(0, 10_000 - floor(ratio * 10_000))


def run_limit(world: World, market: Market, now: int, order: Order, makers_max: int) -> Answer:
    """Run what is left of a limit order (of a new one: all of it), then let it rest or end it."""
    check_cover(world, market, order.user, order.side, order.outcome, order.remaining)
    rests = order.time_in_force in RESTING
    if order.side == BUY and rests:
        lock = order.price * order.remaining // UNIT
        require(
            INSUFFICIENT_FUNDS=world.available(order.user) < lock + pool.fee_on_cost(lock, market.fee_bps)
        )
    taker = Taker(
        order.order_id, order.user, order.side, order.outcome, limit=order.price, whole_lots=True,
        self_trade=order.self_trade, quantity=order.remaining,
    )  # fmt: skip
    router = Router(world, market, taker, now, makers_max)
    router.run()
    require(POST_ONLY_WOULD_TAKE=order.post_only and taker.filled > 0)
    require(SELF_TRADE=rests and taker.stop == "SELF_TRADE" and taker.filled == 0)
    if order.time_in_force == "IOC":
        require_accepted(world, taker)
    if order.time_in_force == "FOK":
        require(FOK_NOT_FILLABLE=taker.rest > 0, INSUFFICIENT_FUNDS=world.available(order.user) < 0)
    note_fills(order, taker)
    if order.remaining == 0:
        order.status = "FILLED"
    elif rests and not taker.stop:
        order.status = "PARTIALLY_FILLED" if order.filled else "OPEN"
        market.orders.append(order)
    else:
        order.cancelled += order.remaining
        order.status, order.reason = "CANCELLED", taker.stop or "UNFILLED"
    charge(market, taker)
    return Answer(order, {**router.touched, order.order_id: order}, taker.fills, taker.fee)


def note_fills(order: Order, taker: Taker) -> None:
    order.filled += taker.filled
    order.cost += taker.cost if taker.side == BUY else taker.output
    order.fee += taker.fee
    order.netted += taker.netted


def charge(market: Market, taker: Taker) -> None:
    """Half of the command's fee to the vault (the odd micro too), half to pending, and one injection."""
    if taker.fee == 0:
        return
    market.vault += ceil(Fraction(taker.fee, 2))
    market.pending += floor(Fraction(taker.fee, 2))
    add_yes, add_no, surplus_yes, surplus_no = pool.inject(market.yes, market.no, market.pending)
    sets = max(add_yes, add_no)
    before = market.yes * market.no
    market.yes, market.no = market.yes + add_yes, market.no + add_no
    assert sets == 0 or market.yes * market.no > before
    market.pending -= sets
    market.collateral += sets
    market.treasury_yes += surplus_yes
    market.treasury_no += surplus_no
    merge_treasury(market)


def merge_treasury(market: Market) -> None:
    pairs = min(market.treasury_yes, market.treasury_no)
    market.treasury_yes -= pairs
    market.treasury_no -= pairs
    market.collateral -= pairs
    market.treasury_points += pairs


# -- changes of a resting order


def own_order(market: Market, user: str, order_id: str) -> Order:
    for order in market.orders:
        if order.order_id == order_id and order.user == user:
            return order
    raise Refused("ORDER_NOT_FOUND")


def cancel(world: World, market: Market, user: str, order_id: str) -> Answer:
    order = own_order(market, user, order_id)
    return end_orders(market, [order], "CANCELLED", "USER")


def cancel_all(world: World, market: Market, user: str) -> Answer:
    return end_orders(market, market.orders_of(user), "CANCELLED", "USER")


def end_orders(market: Market, orders: list[Order], status: str, reason: str) -> Answer:
    for order in orders:
        order.cancelled += order.remaining
        order.status, order.reason = status, reason
        market.orders.remove(order)
    return Answer(touched={order.order_id: order for order in orders})


def amend(
    world: World, now: int, market: Market, user: str, order_id: str,
    quantity: int | None, price: int | None, makers_max: int = MAKERS_MAX,
) -> Answer:  # fmt: skip
    """A smaller total alone keeps the place; anything else is cancel-and-place under the same id."""
    require_all(
        lambda: own_order(market, user, order_id),
        lambda: require(INVALID_ARGUMENT=min(quantity or 0, price or 0) < 0 or (quantity or 0) > AMOUNT_MAX),
    )
    order = own_order(market, user, order_id)
    total = order.quantity if quantity is None else quantity
    limit = order.price if price is None else price
    remaining = total - order.filled - order.cancelled
    on_tick = limit % market.tick == 0 and market.tick <= limit <= UNIT - market.tick
    require(
        PRICE_NOT_ON_TICK=not on_tick,
        INVALID_ARGUMENT=remaining <= 0
        or not 0 <= total <= AMOUNT_MAX
        or not on_tick
        or (limit, total) == (order.price, order.quantity),
        QUANTITY_NOT_ON_LOT=total % market.lot != 0,
        AMOUNT_TOO_SMALL=total < AMOUNT_MIN or remaining <= 0,
    )
    if limit == order.price and total < order.quantity:
        order.quantity = total
        return Answer(order, {order_id: order})
    open_for_trading(market, now)
    require(ORDER_NOT_FOUND=order.expired(now), INVALID_ARGUMENT=order.expired(now))
    market.orders.remove(order)
    renewed = replace(order, price=limit, quantity=total, priority_seq=market.seq)
    return run_limit(world, market, now, renewed, makers_max)


# -- sets


def mint(world: World, now: int, market: Market, user: str, quantity: int) -> Answer:
    """n points become n YES and n NO; the basis is split by the pool's exact price, the rest to NO."""
    require_all(
        lambda: open_for_trading(market, now),
        lambda: require(
            AMOUNT_TOO_SMALL=quantity < AMOUNT_MIN, INVALID_ARGUMENT=not 0 < quantity <= AMOUNT_MAX
        ),
    )
    require(INSUFFICIENT_FUNDS=world.available(user) < quantity)
    basis_yes = floor(quantity * pool.price(market.yes, market.no))
    world.pay(user, -quantity)
    market.collateral += quantity
    market.position(user).add(YES, quantity, basis_yes)
    market.position(user).add(NO, quantity, quantity - basis_yes)
    return Answer()


def merge(world: World, now: int, market: Market, user: str, quantity: int) -> Answer:
    require_all(
        lambda: open_for_trading(market, now),
        lambda: require(AMOUNT_TOO_SMALL=quantity < 1, INVALID_ARGUMENT=not 0 < quantity <= AMOUNT_MAX),
    )
    require(
        INSUFFICIENT_SHARES=market.free_shares(user, YES) < quantity
        or market.free_shares(user, NO) < quantity
    )
    position = market.position(user)
    removed = position.remove(YES, quantity) + position.remove(NO, quantity)
    position.realized += quantity - removed
    world.pay(user, quantity)
    market.collateral -= quantity
    return Answer()
