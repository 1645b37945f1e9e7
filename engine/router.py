"""Best execution: one order, filled by the book and the pool, whichever is cheaper at each step.

The pool is bought from while it is strictly cheaper than the next maker; at equal price the book goes first.
"""

from __future__ import annotations

from enum import StrEnum

from engine import fees, pool
from engine.events import Fill, Trade
from engine.holdings import Settled, acquire
from engine.refusals import InvariantBroken
from engine.run import Run
from engine.state import Order, OrderStatus, Side
from engine.units import MAKERS_MAX, MICROS, ceil_div, points_for


class Stop(StrEnum):
    """Why the router stopped before its order was done."""

    NONE = ""
    SELF_TRADE = "SELF_TRADE"
    MAKERS_MAX = "TOO_MANY_MAKERS"


class Router:
    """Runs one taker. Quantity orders stop at `remaining`, amount orders (`amount` > 0) when the budget is spent."""

    def __init__(self, run: Run, order: Order, *, limit_micros: int, whole_lots: bool) -> None:
        self.run = run
        self.order = order
        self.limit_micros = limit_micros
        """The most it pays for a share of the leg it acquires."""
        self.whole_lots = whole_lots
        self.amount = order.amount_micros
        self.rest = 0 if self.amount else order.remaining
        self.filled = 0
        self.exit_cost = 0
        self.opening_cost = 0
        self.output = 0
        self.netted = 0
        self.fee = 0
        self.stop = Stop.NONE

    @property
    def cost(self) -> int:
        return self.exit_cost + self.opening_cost

    def execute(self) -> None:
        """Fill until done, at the limit, before the taker's own order, or at 1,000 resting orders.

        Where the event of so many would exceed 512 KiB (long numbers, a pool leg before every maker), at fewer.
        """
        while not self.is_done():
            if self.run.disturbed >= self.run.at_most(MAKERS_MAX):
                self.stop = Stop.MAKERS_MAX
                return
            maker = self._next_maker()
            if maker is None:
                self._buy_from_pool(self.limit_micros, last=True)
                return
            if maker.expires_at and maker.expires_at <= self.run.now:
                self.run.disturbed += 1
                self.run.end_resting(maker, OrderStatus.EXPIRED, "EXPIRED")
                continue
            self._buy_from_pool(MICROS - maker.bid_micros, last=False)
            if self.is_done() or not maker.is_open:
                continue
            if maker.user_id == self.order.user_id:
                if not self._give_way(maker):
                    return
                continue
            quantity = self._lots_from(maker)
            if quantity == 0:
                self._buy_from_pool(self.limit_micros, last=True)
                return
            self._fill_from_book(maker, quantity)

    def is_done(self) -> bool:
        """Quantity reached or budget spent."""
        if self.amount:
            return (self._exit_budget() if self._exit_left() else self._opening_budget()) <= 0
        return self.rest == 0

    def _next_maker(self) -> Order | None:
        maker = self.run.market_state.ladders[self.order.leg.opposite].best()
        if maker is None or MICROS - maker.bid_micros > self.limit_micros:
            return None
        return maker

    def _give_way(self, maker: Order) -> bool:
        """The next maker is the taker's own: the maker ends, or the taker does (False)."""
        if self.order.self_trade == "CANCEL_TAKER":
            self.stop = Stop.SELF_TRADE
            return False
        self.run.disturbed += 1
        self.run.end_resting(maker, OrderStatus.CANCELLED, "SELF_TRADE")
        return True

    # -- budgets of an amount order: its exit first, free of fee; then the opening part with its fee

    def _exit_left(self) -> int:
        user, leg = self.order.user_id, self.order.leg
        return max(0, self.run.held(user, leg.opposite) - self.run.held(user, leg))

    def _exit_budget(self) -> int:
        return self.amount - self.cost

    def _opening_budget(self, exit_cost_micros: int = 0) -> int:
        gross = self.amount - self.exit_cost - exit_cost_micros
        return fees.opening_budget(gross, self.run.market.fee_bps) - self.opening_cost

    # -- the pool

    def _buy_from_pool(self, price_micros: int, *, last: bool) -> None:
        """Buy while the pool is cheaper than `price_micros`; a leg below a lot is skipped unless it is the last."""
        reserves = self.run.market.reserves(self.order.leg)
        if not pool.price_is_below(reserves, price_micros):
            return
        if self.amount:
            self._amount_from_pool(reserves, price_micros, last)
        else:
            self._quantity_from_pool(reserves, price_micros, last)

    def _quantity_from_pool(self, reserves: pool.Reserves, price_micros: int, last: bool) -> None:
        lot, quantity = self.run.market.lot_micros, _up_to(reserves, price_micros, self.rest)
        if self.whole_lots:
            quantity -= quantity % lot
        elif quantity < lot and not last and quantity < self.rest:
            return
        if quantity:
            self._fill_from_pool(quantity, pool.cost_of(reserves, quantity))

    def _amount_from_pool(self, reserves: pool.Reserves, price_micros: int, last: bool) -> None:
        exit_left, exit_quantity, exit_cost = self._exit_left(), 0, 0
        if exit_left:
            spend = _spend_up_to(reserves, price_micros, self._exit_budget())
            exit_quantity = min(exit_left, pool.shares_for(reserves, spend))
            exit_cost = pool.cost_of(reserves, exit_quantity)
            reserves = pool.after_buying(reserves, exit_quantity, exit_cost)
        open_quantity = open_cost = 0
        if exit_quantity == exit_left:
            budget = max(0, self._opening_budget(exit_cost))
            open_cost = _spend_up_to(reserves, price_micros, budget)
            open_quantity = pool.shares_for(reserves, open_cost)
            exhausts = open_cost == budget
        else:
            exhausts = exit_cost == self._exit_budget()
        if exit_quantity + open_quantity < self.run.market.lot_micros and not last and not exhausts:
            return
        if exit_quantity:
            self._fill_from_pool(exit_quantity, exit_cost)
        if open_quantity:
            self._fill_from_pool(open_quantity, open_cost)

    def _fill_from_pool(self, quantity: int, cost_micros: int) -> None:
        market, leg = self.run.touch_market(), self.order.leg
        before = market.reserves(leg)
        after = pool.after_buying(before, quantity, cost_micros)
        assert after.acquired > 0, "a pool is never emptied"
        if after.product < before.product:
            raise InvariantBroken(f"the pool of {market.market_id} would pay for a trade")
        market.set_reserves(leg, after)
        market.collateral += cost_micros
        self._fill("POOL", "POOL", quantity, cost_micros, acquire_taker(self, quantity, cost_micros))

    # -- the book

    def _lots_from(self, maker: Order) -> int:
        """The whole lots to take from this maker: what it has, what is wanted, what the amount pays for."""
        lot = self.run.market.lot_micros
        if not self.amount:
            wanted = min(maker.remaining, self.rest)
            return wanted - wanted % lot
        low, high = 0, maker.remaining // lot
        while low < high:
            middle = (low + high + 1) // 2
            if self._affords(MICROS - maker.bid_micros, middle * lot):
                low = middle
            else:
                high = middle - 1
        return low * lot

    def _affords(self, price_micros: int, quantity: int) -> bool:
        cost = points_for(price_micros, quantity)
        opening = ceil_div(cost * (quantity - min(quantity, self._exit_left())), quantity)
        return (
            self.cost + cost + fees.buy_fee(self.opening_cost + opening, self.run.market.fee_bps)
            <= self.amount
        )

    def _fill_from_book(self, maker: Order, quantity: int) -> None:
        """Mint `quantity` sets for both bids, at the maker's price; each side nets what it can."""
        run, price = self.run, MICROS - maker.bid_micros
        cost = points_for(price, quantity)
        run.disturbed += 1
        run.touch_market().collateral += quantity
        run.take_from_resting(maker, quantity)
        theirs = acquire(run, maker.user_id, maker.side, maker.leg, quantity, quantity - cost)
        maker_cost = quantity - cost if maker.side is Side.BUY else cost
        maker.cost += maker_cost
        maker.netted += theirs.netted
        mine = acquire_taker(self, quantity, cost)
        nets = (mine.netted == quantity) + (theirs.netted == quantity)
        self._fill("BOOK", ("MINT", "COMPLEMENTARY", "MERGE")[nets], quantity, cost, mine)
        run.fills.append(
            (
                maker.user_id,
                Fill(
                    trade=len(run.trades) - 1,
                    order_id=maker.order_id,
                    user=-1,
                    taker=False,
                    side=maker.side,
                    outcome=maker.outcome,
                    price_micros=maker.price_micros,
                    quantity=quantity,
                    cost=maker_cost,
                    fee=0,
                    netted=theirs.netted,
                ),
            )
        )

    # -- the taker's side of every fill

    def _fill(self, venue: str, kind: str, quantity: int, cost_micros: int, settled: Settled) -> None:
        """Count a fill and charge the difference of the running fee."""
        order, run = self.order, self.run
        fee = self._charge(quantity, cost_micros, settled)
        self.filled += quantity
        if not self.amount:
            self.rest -= quantity
        self.netted += settled.netted
        shown = cost_micros if order.side is Side.BUY else quantity - cost_micros
        price = printed_price(order.side, shown, quantity)
        run.trades.append(Trade(order.order_id, venue, kind, order.outcome, order.side, price, quantity))
        run.fills.append(
            (
                order.user_id,
                Fill(
                    trade=len(run.trades) - 1,
                    order_id=order.order_id,
                    user=-1,
                    taker=True,
                    side=order.side,
                    outcome=order.outcome,
                    price_micros=price,
                    quantity=quantity,
                    cost=shown,
                    fee=fee,
                    netted=settled.netted,
                ),
            )
        )
        market = run.touch_market()
        market.volume += quantity
        market.last_price_micros = price if order.outcome == "YES" else MICROS - price

    def _charge(self, quantity: int, cost_micros: int, settled: Settled) -> int:
        run, order, fee_bps = self.run, self.order, self.run.market.fee_bps
        if order.side is Side.BUY:
            self.opening_cost += settled.opening_cost
            self.exit_cost += cost_micros - settled.opening_cost
            fee = fees.buy_fee(self.opening_cost, fee_bps) - self.fee
            run.position(order.user_id).add_basis(order.outcome, fee)
        else:
            self.exit_cost += cost_micros
            self.output += quantity - cost_micros
            fee = fees.sell_fee(self.output, fee_bps) - self.fee
            run.position(order.user_id).realized_pnl -= fee
        run.account(order.user_id).available -= fee
        self.fee += fee
        return fee


def acquire_taker(router: Router, quantity: int, cost_micros: int) -> Settled:
    """The taker pays and nets."""
    order = router.order
    return acquire(router.run, order.user_id, order.side, order.leg, quantity, cost_micros)


def printed_price(side: Side, cost_micros: int, quantity: int) -> int:
    """Micros a share, rounded against the trader: ceil for a BUY, floor for a SELL; 0 before the first fill."""
    if quantity == 0:
        return 0
    if side is Side.BUY:
        return ceil_div(cost_micros * MICROS, quantity)
    return cost_micros * MICROS // quantity


def _up_to(reserves: pool.Reserves, price_micros: int, quantity: int) -> int:
    """The shares, at most `quantity`, that keep the pool at or below the price."""
    cost = pool.cost_of(reserves, quantity)
    if pool.price_is_at_most(pool.after_buying(reserves, quantity, cost), price_micros):
        return quantity
    return min(quantity, pool.shares_for(reserves, pool.cost_up_to_price(reserves, price_micros)))


def _spend_up_to(reserves: pool.Reserves, price_micros: int, budget_micros: int) -> int:
    """The spend, at most the budget, that keeps the pool at or below the price."""
    if pool.price_is_at_most(pool.after_spending(reserves, budget_micros), price_micros):
        return budget_micros
    return pool.cost_up_to_price(reserves, price_micros)
