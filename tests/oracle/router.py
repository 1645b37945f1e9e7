"""Best execution, step by step: the book at a maker's price, the pool while it is strictly cheaper."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from tests.oracle import pool
from tests.oracle.model import BUY, SELL, YES, Fill, Market, Order, World, other
from tests.oracle.pool import UNIT, first_true

MAKERS_MAX = 1_000


@dataclass(slots=True)
class Taker:
    """An order on its way through the market. `amount` is what an amount order may spend, fee included."""

    order_id: str
    user: str
    side: str
    outcome: str
    limit: int
    whole_lots: bool
    self_trade: str
    quantity: int | None = None
    amount: int | None = None
    filled: int = 0
    cost_exit: int = 0
    cost_open: int = 0
    output: int = 0
    fee: int = 0
    netted: int = 0
    makers_met: int = 0
    stop: str = ""
    fills: list[Fill] = field(default_factory=list)

    @property
    def acquires(self) -> str:
        return self.outcome if self.side == BUY else other(self.outcome)

    @property
    def limit_price(self) -> Fraction:
        """The most it pays for a share of what it acquires."""
        return Fraction(self.limit if self.side == BUY else UNIT - self.limit, UNIT)

    @property
    def cost(self) -> int:
        return self.cost_exit + self.cost_open

    @property
    def rest(self) -> int:
        assert self.quantity is not None
        return self.quantity - self.filled


@dataclass(slots=True)
class Router:
    """Runs one taker on a copy of the world; whoever calls it throws the copy away when it refuses."""

    world: World
    market: Market
    taker: Taker
    now: int
    makers_max: int = MAKERS_MAX
    touched: dict[str, Order] = field(default_factory=dict)

    def run(self) -> None:
        taker = self.taker
        while not self.exhausted():
            if taker.makers_met >= self.makers_max:
                taker.stop = "TOO_MANY_MAKERS"
                return
            maker = self.best_maker()
            if maker is not None and maker.expired(self.now):
                self.release(maker, "EXPIRED", "EXPIRED")
                continue
            self.buy_from_pool(
                taker.limit_price if maker is None else self.price_of(maker), last=maker is None
            )
            if maker is None or self.exhausted():
                return
            if maker.user == taker.user:
                if taker.self_trade == "CANCEL_TAKER":
                    taker.stop = "SELF_TRADE"
                    return
                self.release(maker, "CANCELLED", "SELF_TRADE")
                continue
            quantity = self.lots_from(maker)
            if quantity == 0:
                self.buy_from_pool(taker.limit_price, last=True)
                return
            self.fill_from_book(maker, quantity)

    # -- what is left, and who is next

    def exhausted(self) -> bool:
        taker = self.taker
        if taker.quantity is not None:
            return taker.rest == 0
        return self.exit_budget() == 0 if self.exit_left() else self.opening_budget() == 0

    def exit_left(self) -> int:
        """How much of what is acquired next will net against the opposite leg (a BUY)."""
        position = self.market.position(self.taker.user)
        own = self.taker.acquires
        return max(0, position.held(other(own)) - position.held(own))

    def exit_budget(self) -> int:
        assert self.taker.amount is not None
        return self.taker.amount - self.taker.cost

    def opening_budget(self) -> int:
        """What the opening part may still cost, so that the command's cost and fee stay within the amount."""
        taker = self.taker
        assert taker.amount is not None
        rest = taker.amount - taker.cost_exit
        return max(0, floor(Fraction(rest * (10_000 - self.market.fee_bps), 10_000)) - taker.cost_open)

    def price_of(self, maker: Order) -> Fraction:
        return Fraction(UNIT - maker.bid, UNIT)

    def best_maker(self) -> Order | None:
        makers = self.market.makers_for(self.taker.acquires)
        return next((maker for maker in makers if self.price_of(maker) <= self.taker.limit_price), None)

    # -- the pool

    def reserves(self) -> tuple[int, int]:
        market = self.market
        return (market.yes, market.no) if self.taker.acquires == YES else (market.no, market.yes)

    def buy_from_pool(self, limit: Fraction, *, last: bool) -> None:
        if self.taker.quantity is not None:
            self.quantity_from_pool(limit, last)
        else:
            self.amount_from_pool(limit, last)

    def quantity_from_pool(self, limit: Fraction, last: bool) -> None:
        taker = self.taker
        reserves = self.reserves()
        if pool.price(*reserves) >= limit:
            return
        quantity = taker.rest
        exact = pool.smallest_spend(*reserves, quantity)
        if pool.price(*pool.after(*reserves, exact, quantity)) > limit:  # else the quantity binds first
            quantity = min(quantity, pool.received(*reserves, pool.largest_spend_to(*reserves, limit)))
        if taker.whole_lots:
            quantity -= quantity % self.market.lot
        elif quantity < self.market.lot and not last and quantity < taker.rest:
            return
        if quantity:
            self.fill_from_pool(quantity, pool.smallest_spend(*reserves, quantity))

    def amount_from_pool(self, limit: Fraction, last: bool) -> None:
        """An amount order buys its exit first, exactly and free of fee; the rest is for the opening part."""
        exit_left, reserves = self.exit_left(), self.reserves()
        exit_quantity = exit_cost = 0
        if exit_left:
            spend = min(self.exit_budget(), pool.largest_spend_to(*reserves, limit))
            exit_quantity = min(exit_left, pool.received(*reserves, spend))
            exit_cost = pool.smallest_spend(*reserves, exit_quantity)
            reserves = pool.after(*reserves, exit_cost, exit_quantity)
        open_quantity = open_cost = 0
        if exit_quantity == exit_left:
            rest = self.exit_budget_after(exit_cost)
            open_cost = min(rest, pool.largest_spend_to(*reserves, limit))
            open_quantity = pool.received(*reserves, open_cost)
            binds = open_cost == rest
        else:
            binds = exit_cost == self.exit_budget()
        if exit_quantity + open_quantity < self.market.lot and not last and not binds:
            return
        if exit_quantity:
            self.fill_from_pool(exit_quantity, exit_cost)
        if open_quantity:
            self.fill_from_pool(open_quantity, open_cost)

    def exit_budget_after(self, exit_cost: int) -> int:
        self.taker.cost_exit += exit_cost
        budget = self.opening_budget()
        self.taker.cost_exit -= exit_cost
        return budget

    def fill_from_pool(self, quantity: int, cost: int) -> None:
        market, taker = self.market, self.taker
        a, b = pool.after(*self.reserves(), cost, quantity)
        assert a * b >= market.yes * market.no
        market.yes, market.no = (a, b) if taker.acquires == YES else (b, a)
        market.collateral += cost
        market.dust_legs += not taker.whole_lots and quantity < 2 * market.lot
        self.take(quantity, cost, "POOL", "POOL")

    # -- the book

    def lots_from(self, maker: Order) -> int:
        """The whole lots this maker gives: what it has, what the taker still wants or can pay."""
        taker, lot = self.taker, self.market.lot
        if taker.quantity is not None:
            wanted = min(maker.remaining, taker.rest)
            return wanted - wanted % lot
        too_many = first_true(1, maker.remaining // lot + 1, lambda lots: not self.affords(maker, lots * lot))
        return (too_many - 1) * lot

    def affords(self, maker: Order, quantity: int) -> bool:
        taker = self.taker
        if quantity > maker.remaining:
            return False
        assert taker.amount is not None
        cost = floor(self.price_of(maker) * quantity)
        netted = min(quantity, self.exit_left())
        fee = pool.fee_on_cost(taker.cost_open + opening_part(cost, quantity, netted), self.market.fee_bps)
        return taker.cost + cost + fee <= taker.amount

    def fill_from_book(self, maker: Order, quantity: int) -> None:
        market, taker = self.market, self.taker
        exact = self.price_of(maker) * quantity
        assert exact.denominator == 1, "whole lots at a price on the tick need no rounding"
        cost = int(exact)
        market.collateral += quantity
        taker.makers_met += 1
        maker.filled += quantity
        maker.status = "FILLED" if maker.remaining == 0 else "PARTIALLY_FILLED"
        if maker.remaining == 0:
            market.orders.remove(maker)
        maker_cost = quantity - cost
        maker_netted = self.settle(maker.user, maker.side, maker.acquires, quantity, maker_cost)[0]
        shown = maker_cost if maker.side == BUY else cost
        maker.cost, maker.netted = maker.cost + shown, maker.netted + maker_netted
        self.touched[maker.order_id] = maker
        taker_netted = self.take(quantity, cost, "BOOK", "")
        kind = kind_of(taker_netted == quantity, maker_netted == quantity)
        taker.fills[-1].kind = kind
        taker.fills.append(
            Fill(
                maker.order_id, maker.user, "BOOK", "MAKER", kind,
                maker.side, maker.outcome, quantity, shown, 0, maker_netted,
            )
        )  # fmt: skip

    # -- what a fill does to an account

    def take(self, quantity: int, cost: int, venue: str, kind: str) -> int:
        """The taker's side of a fill: netting, then the running fee's difference. Returns what netted."""
        taker, fee_bps = self.taker, self.market.fee_bps
        netted, opening = self.settle(taker.user, taker.side, taker.acquires, quantity, cost)
        position = self.market.position(taker.user)
        taker.filled += quantity
        taker.netted += netted
        if taker.side == BUY:
            taker.cost_open += opening
            taker.cost_exit += cost - opening
            fee = pool.fee_on_cost(taker.cost_open, fee_bps) - taker.fee
            position.add(taker.outcome, 0, fee)
        else:
            taker.output += quantity - cost
            fee = pool.fee_on_output(taker.output, fee_bps) - taker.fee
            position.realized -= fee
        self.world.pay(taker.user, -fee)
        taker.fee += fee
        shown = cost if taker.side == BUY else quantity - cost
        taker.fills.append(
            Fill(
                taker.order_id, taker.user, venue, "TAKER", kind,
                taker.side, taker.outcome, quantity, shown, fee, netted,
            )
        )  # fmt: skip
        return netted

    def settle(self, user: str, side: str, acquired: str, quantity: int, cost: int) -> tuple[int, int]:
        """`user` pays `cost` for `quantity` of `acquired` and nets: (what netted, the cost that opened)."""
        market, position = self.market, self.market.position(user)
        opposite = other(acquired)
        surplus = position.held(opposite) - position.held(acquired)
        netted = quantity if side == SELL else min(quantity, max(0, surplus))
        opening = opening_part(cost, quantity, netted)
        self.world.pay(user, netted - cost)
        market.collateral -= netted
        basis = position.remove(opposite, netted)
        position.add(acquired, quantity - netted, opening)
        if netted:
            position.realized += netted - (cost - opening) - basis
        self.cut_back(user, opposite)
        return netted, opening

    def cut_back(self, user: str, outcome: str) -> None:
        """Resting SELLs that lost their cover lose whole lots, the latest place first."""
        market = self.market
        while (uncovered := -market.free_shares(user, outcome)) > 0:
            sells = [o for o in market.orders_of(user) if o.side == SELL and o.outcome == outcome]
            order = max(sells, key=lambda o: o.priority_seq)
            if uncovered >= order.remaining:
                self.release(order, "CANCELLED", "POSITION_NETTED")
            else:
                order.cancelled += ceil(Fraction(uncovered, market.lot)) * market.lot
                self.touched[order.order_id] = order
                self.taker.makers_met += 1
                if order.remaining == 0:
                    self.finish(order, "CANCELLED", "POSITION_NETTED")

    def release(self, order: Order, status: str, reason: str) -> None:
        """End a resting order that the router met; it counts towards the bound."""
        order.cancelled += order.remaining
        self.taker.makers_met += 1
        self.finish(order, status, reason)

    def finish(self, order: Order, status: str, reason: str) -> None:
        order.status, order.reason = status, reason
        self.market.orders.remove(order)
        self.touched[order.order_id] = order


def opening_part(cost: int, quantity: int, netted: int) -> int:
    """The cost of what opens, of a fill that nets a part: rounded up, so the fee is never too small."""
    return ceil(Fraction(cost * (quantity - netted), quantity))


def kind_of(taker_nets: bool, maker_nets: bool) -> str:
    if taker_nets and maker_nets:
        return "MERGE"
    return "COMPLEMENTARY" if taker_nets or maker_nets else "MINT"
