"""Orders from placing to their end, and sets: what users' commands do to a market."""

from __future__ import annotations

from engine import fees, guards, pool
from engine.commands import AmendOrder, CancelAllOrders, CancelOrder, MergeSets, MintSets, PlaceOrder
from engine.guards import refuse_if
from engine.holdings import remove_shares
from engine.refusals import Code, InvariantBroken
from engine.router import Router, Stop
from engine.run import Run, end
from engine.slippage import check_slippage, expected_price
from engine.state import Market, Order, OrderStatus, OrderType, Outcome, Side, TimeInForce
from engine.units import MICROS, OPEN_ORDERS_MAX, points_for

RESTING = (TimeInForce.GTC, TimeInForce.GTD)


def place(run: Run, command: PlaceOrder) -> None:
    guards.order_is_well_formed(command, run.now)
    guards.trading_is_open(run.market, run.now)
    product = run.market.pool_yes * run.market.pool_no
    order = _new_order(run, command)
    run.new_order = order
    run.journal.created(order)
    if command.type is OrderType.MARKET:
        _execute_market(run, order, command)
    else:
        guards.limit_fits_market(run.market, command.price_micros, command.quantity_micros)
        _room_for_one_more(run, order)
        _execute_limit(run, order)
    _product_never_falls(run.market, product)


def amend(run: Run, command: AmendOrder) -> None:
    """New total quantity and/or price. A decrease alone keeps its place; anything else is cancel-and-place."""
    for name in ("price_micros", "quantity_micros"):
        guards.amount_in_range(getattr(command, name), name)
    order = run.own_open_order(command.actor_id, command.order_id)
    price, total = command.price_micros or order.price_micros, command.quantity_micros or order.quantity
    remaining = total - order.filled - order.cancelled
    decreases = price == order.price_micros and total < order.quantity
    refuse_if(
        remaining <= 0 or (price, total) == (order.price_micros, order.quantity),
        Code.INVALID_ARGUMENT,
        "State a new price, or a total quantity above what is filled and cancelled.",
    )
    guards.limit_fits_market(run.market, price, total)
    if decreases:
        run.shrink_resting(order, order.remaining - remaining)
        order.quantity = total
        return
    guards.trading_is_open(run.market, run.now)
    refuse_if(
        bool(order.expires_at) and order.expires_at <= run.now, Code.ORDER_NOT_FOUND, "The order has expired."
    )
    product = run.market.pool_yes * run.market.pool_no
    run.leave_book(order)
    order.price_micros, order.quantity, order.remaining = price, total, remaining
    _execute_limit(run, order)
    _product_never_falls(run.market, product)


def cancel(run: Run, command: CancelOrder) -> None:
    order = run.own_open_order(command.actor_id, command.order_id)
    run.end_resting(order, OrderStatus.CANCELLED, "CANCELLED_BY_USER")


def cancel_all(run: Run, command: CancelAllOrders) -> None:
    for order in run.open_orders(command.user_id):
        run.end_resting(order, OrderStatus.CANCELLED, command.reason)


def mint(run: Run, command: MintSets) -> None:
    """n points become n YES and n NO; the basis is split at the pool's exact price, floor to YES, the rest to NO."""
    user, quantity, market = command.actor_id, command.quantity_micros, run.market
    guards.amount_in_range(quantity, "quantity_micros")
    guards.trading_is_open(market, run.now)
    guards.amount_is_enough(quantity)
    guards.points_are_there(run, user, quantity)
    basis_yes = quantity * market.pool_no // (market.pool_yes + market.pool_no)
    run.account(user).available -= quantity
    run.touch_market().collateral += quantity
    position = run.position(user)
    for outcome, basis in ((Outcome.YES, basis_yes), (Outcome.NO, quantity - basis_yes)):
        position.add_held(outcome, quantity)
        position.add_basis(outcome, basis)


def merge(run: Run, command: MergeSets) -> None:
    """n YES and n NO become n points."""
    user, quantity = command.actor_id, command.quantity_micros
    guards.amount_in_range(quantity, "quantity_micros")
    guards.trading_is_open(run.market, run.now)
    guards.amount_is_enough(quantity, 1)
    for outcome in Outcome:
        guards.shares_are_there(run, user, outcome, quantity)
    position = run.position(user)
    removed = sum(remove_shares(position, outcome, quantity) for outcome in Outcome)
    position.realized_pnl += quantity - removed
    run.account(user).available += quantity
    run.touch_market().collateral -= quantity


def charge_fee(market: Market, fee_micros: int) -> None:
    """Half of a command's fee to the vault (the odd micro too), half into the pool at an unchanged price."""
    vault, pending = fees.split(fee_micros)
    market.vault += vault
    market.pending += pending
    yes_is_small = market.pool_yes <= market.pool_no
    small, large = sorted((market.pool_yes, market.pool_no))
    injection = pool.injection_of(market.pending, small, large)
    to_yes, to_no = (injection.small, injection.sets) if yes_is_small else (injection.sets, injection.small)
    market.pending -= injection.sets
    market.collateral += injection.sets
    market.pool_yes += to_yes
    market.pool_no += to_no
    market.treasury_yes += injection.sets - to_yes
    market.treasury_no += injection.sets - to_no
    pairs = min(market.treasury_yes, market.treasury_no)
    market.treasury_yes -= pairs
    market.treasury_no -= pairs
    market.collateral -= pairs
    market.treasury_points += pairs


def _new_order(run: Run, command: PlaceOrder) -> Order:
    quantity = command.quantity_micros
    if command.close_position:
        quantity = run.unlocked(command.actor_id, command.outcome)
        refuse_if(quantity <= 0, Code.INSUFFICIENT_SHARES, f"You hold no {command.outcome} to close.")
    market_order = command.type is OrderType.MARKET
    return Order(
        order_id=command.order_id,
        market_id=command.market_id,
        user_id=command.actor_id,
        client_order_id=command.client_order_id,
        side=command.side,
        outcome=command.outcome,
        type=command.type,
        time_in_force=TimeInForce.IOC if market_order else command.time_in_force,
        post_only=command.post_only,
        self_trade=command.self_trade,
        amount_micros=command.amount_micros,
        created_at=run.now,
        price_micros=command.price_micros,
        quantity=quantity,
        expires_at=command.expires_at,
    )


def _room_for_one_more(run: Run, order: Order) -> None:
    refuse_if(
        order.time_in_force in RESTING
        and len(run.market_state.open_by_user.get(order.user_id, ())) >= OPEN_ORDERS_MAX,
        Code.TOO_MANY_OPEN_ORDERS,
        f"You have {OPEN_ORDERS_MAX} open orders in this market; cancel one first.",
        limit=OPEN_ORDERS_MAX,
    )


def _execute_market(run: Run, order: Order, command: PlaceOrder) -> None:
    small = 1 if order.side is Side.SELL else 1_000
    guards.amount_is_enough(command.amount_micros or order.quantity, small)
    if order.side is Side.SELL:
        guards.shares_are_there(run, order.user_id, order.outcome, order.quantity)
    expected = expected_price(run.market, order.outcome, command.expected_price_micros)
    router = Router(run, order, limit_micros=MICROS - 1, whole_lots=False)
    router.execute()
    _something_filled(router)
    check_slippage(router, expected, command.max_slippage_bps)
    _paid_for(run, order)
    if order.amount_micros:
        order.quantity = order.remaining = router.filled
    _note_fills(order, router)
    if router.is_done():
        end(order, OrderStatus.FILLED, "")
    else:
        end(order, OrderStatus.CANCELLED, router.stop or "UNFILLED")


def _execute_limit(run: Run, order: Order) -> None:
    """Run what is left of a limit order, then let it rest or end it."""
    rests = order.time_in_force in RESTING
    if order.side is Side.SELL:
        guards.shares_are_there(run, order.user_id, order.outcome, order.remaining)
    elif rests:
        worst = points_for(order.price_micros, order.remaining)
        guards.points_are_there(run, order.user_id, worst + fees.buy_fee(worst, run.market.fee_bps))
    router = Router(run, order, limit_micros=order.bid_micros, whole_lots=True)
    router.execute()
    _respect_instructions(order, router, rests)
    if not rests:
        _paid_for(run, order)
    _note_fills(order, router)
    if order.remaining == 0:
        end(order, OrderStatus.FILLED, "")
    elif rests and not router.stop:
        order.status = OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN
        run.rest(order)
    else:
        end(order, OrderStatus.CANCELLED, router.stop or "UNFILLED")


def _respect_instructions(order: Order, router: Router, rests: bool) -> None:
    """post_only, FOK, IOC and self-trade: what the fills decide."""
    refuse_if(
        order.post_only and router.filled > 0,
        Code.POST_ONLY_WOULD_TAKE,
        "The order would take liquidity; choose a price further away.",
    )
    refuse_if(
        order.time_in_force is TimeInForce.FOK and router.rest > 0,
        Code.FOK_NOT_FILLABLE,
        "The order cannot be filled completely within its limit.",
        fillable_micros=router.filled,
    )
    refuse_if(
        rests and router.filled == 0 and router.stop is Stop.SELF_TRADE,
        Code.SELF_TRADE,
        "The order would trade with your own; cancel that one or use CANCEL_MAKER.",
    )
    if not rests:
        _something_filled(router)


def _something_filled(router: Router) -> None:
    refuse_if(
        router.filled == 0 and router.stop is Stop.SELF_TRADE,
        Code.SELF_TRADE,
        "The order would trade with your own; cancel that one or use CANCEL_MAKER.",
    )
    refuse_if(router.filled == 0, Code.NOTHING_FILLED, "Nothing could be filled within the limit.")


def _paid_for(run: Run, order: Order) -> None:
    """What was really paid, fee included, must have been there."""
    available = run.state.account(order.user_id).available
    refuse_if(
        available < 0,
        Code.INSUFFICIENT_FUNDS,
        "You do not have the points this needs.",
        missing_micros=-available,
    )


def _note_fills(order: Order, router: Router) -> None:
    order.filled += router.filled
    order.remaining -= router.filled
    order.cost += router.cost if order.side is Side.BUY else router.output
    order.fee += router.fee
    order.netted += router.netted
    if router.fee:
        charge_fee(router.run.touch_market(), router.fee)


def _product_never_falls(market: Market, product: int) -> None:
    """Fail closed: a pool that paid for a trade refuses the command, and the market is paused."""
    if market.pool_yes * market.pool_no < product:
        raise InvariantBroken(f"pool product of {market.market_id} fell")
