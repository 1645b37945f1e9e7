"""Quotes: the engine itself runs the order on a replica of the market, and undoes it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from engine import fees
from engine.commands import PlaceOrder
from engine.core import Applied, Engine
from engine.quotes import Figures, Leg, figures_of, legs_of
from engine.refusals import Refusal
from engine.slippage import expected_price, slippage_bps
from engine.state import (
    Account,
    Market,
    OrderType,
    Outcome,
    Position,
    ShardState,
    Side,
    TimeInForce,
)
from engine.trading import RESTING
from engine.units import AMOUNT_MAX_MICROS, MICROS, ceil_div, points_for

ANYBODY: Final = "00000000-0000-4000-8000-00000000000f"
"""Who asks without a token: holds whatever is sold, and nothing else."""
FUNDS_MICROS: Final = 10**18
"""Every quote is affordable to the engine; whether it is to the caller is said beside it."""
SAFE_BPS: Final = 100
SLIPPAGE_BPS: Final = 1_000
CURVE_POINTS_MAX: Final = 16
CURVE_ENDS_BPS: Final = 5_000
CURVE_TRADES_MAX: Final = 400
"""Trades of all points of a curve together: what bounds its cost where the book is deep."""
SIZES: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose position and points count."""

    user_id: str
    available: int
    """Points free to spend (micros)."""

    @property
    def is_anybody(self) -> bool:
        return self.user_id == ANYBODY


@dataclass(frozen=True, slots=True)
class Execution:
    """An order's figures. `price_slippage_bps` is against the pool's price, not the one expected."""

    figures: Figures
    legs: list[Leg]
    price_slippage_bps: int
    points: int
    """What the taker's free points become more (a BUY mostly: less)."""
    trades: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What was asked for."""

    valid_seq: int
    spot_price: int
    execution: Execution
    is_within_slippage: bool
    is_affordable: bool
    largest: Execution | None


class Desk:
    """Quotes on one replica at one moment (`now`: PostgreSQL's clock, which decides what has expired)."""

    def __init__(self, state: ShardState, market_id: str, now: int) -> None:
        self._state = state
        self._market_state = state.markets[market_id]
        self._now = now

    @property
    def market(self) -> Market:
        return self._market_state.market

    def quote(self, order: PlaceOrder, caller: Caller, balance_micros: int) -> Quote | Refusal:
        """The order and the largest one `balance_micros` (BUY) or the holding (SELL) allows."""
        execution = self.run(order, caller)
        if isinstance(execution, Refusal):
            return execution
        figures = execution.figures
        return Quote(
            valid_seq=self.market.seq,
            spot_price=spot_price(self.market, order.side, order.outcome),
            execution=execution,
            is_within_slippage=order.type is OrderType.LIMIT
            or figures.slippage_bps <= order.max_slippage_bps,
            is_affordable=caller.is_anybody or self._needs(order, execution) <= caller.available,
            largest=self._largest(order, caller, balance_micros),
        )

    def curve(self, order: PlaceOrder, caller: Caller) -> list[tuple[int, Execution]]:
        """(points spent, or 0 for a SELL; what comes of it) at growing sizes."""
        held = None
        if order.side is Side.SELL and not caller.is_anybody:
            held = self._unlocked(caller.user_id, order.outcome)
        points: list[tuple[int, Execution]] = []
        trades = 0
        for size in _sizes(min(self.market.pool_yes, self.market.pool_no)):
            is_last = held is not None and size >= held
            size = min(size, held) if held is not None else size
            execution = self.run(_market_order(order, size), caller) if size else None
            if execution is None or isinstance(execution, Refusal):
                break
            points.append((size if order.side is Side.BUY else 0, execution))
            trades += execution.trades
            if is_last or execution.price_slippage_bps > CURVE_ENDS_BPS or trades > CURVE_TRADES_MAX:
                break
        return points

    def run(self, order: PlaceOrder, caller: Caller) -> Execution | Refusal:
        """The very order, whatever it costs and however far it slips, then undone."""
        before, stated = copy.copy(self.market), order.expected_price_micros
        if order.type is OrderType.MARKET:
            order = structs.replace(order, expected_price_micros=MICROS - 1 if order.side is Side.BUY else 1)
            order = structs.replace(order, max_slippage_bps=10_000)
        with self._supposing(order, caller):
            applied = Engine(self._state).dry_run(order, now=max(self._now, before.updated_at))
        if isinstance(applied, Refusal):
            return applied
        return _execution(applied, order, before, stated)

    @contextmanager
    def _supposing(self, order: PlaceOrder, caller: Caller) -> Iterator[None]:
        """The caller has points for everything, and anybody has the shares he sells."""
        positions = self._market_state.positions
        self._state.accounts[caller.user_id] = Account(caller.user_id, FUNDS_MICROS)
        if caller.is_anybody and order.side is Side.SELL:
            positions[ANYBODY] = _holding(order)
        try:
            yield
        finally:
            positions.pop(ANYBODY, None)
            self._state.accounts.clear()  # makers' too, which the dry run looked at

    def _needs(self, order: PlaceOrder, execution: Execution) -> int:
        """Points that must be there: of an order that can rest its whole limit with the fee, else what is paid."""
        if order.side is Side.SELL:
            return 0
        if order.type is OrderType.LIMIT and order.time_in_force in RESTING:
            worst = points_for(order.price_micros, order.quantity_micros)
            return worst + fees.buy_fee(worst, self.market.fee_bps)
        return -execution.points

    def _largest(self, order: PlaceOrder, caller: Caller, balance_micros: int) -> Execution | None:
        if order.side is Side.SELL:
            size = 0 if caller.is_anybody else self._unlocked(caller.user_id, order.outcome)
        else:
            size = min(balance_micros, AMOUNT_MAX_MICROS)
        largest = self.run(_market_order(order, size), caller) if size > 0 else None
        return None if isinstance(largest, Refusal) else largest

    def _unlocked(self, user_id: str, outcome: Outcome) -> int:
        position = self._market_state.positions.get(user_id)
        return max(0, position.unlocked(outcome)) if position else 0


def spot_price(market: Market, side: Side, outcome: Outcome) -> int:
    """The pool's exact price of an outcome; ceil for who buys, floor for who sells; 0 without a pool."""
    reserves = market.reserves(outcome)
    if not reserves.acquired or not reserves.other:
        return 0
    total = reserves.acquired + reserves.other
    if side is Side.BUY:
        return ceil_div(reserves.other * MICROS, total)
    return reserves.other * MICROS // total


def _execution(applied: Applied, order: PlaceOrder, before: Market, stated_micros: int) -> Execution:
    figures = figures_of(
        applied.effects,
        order.order_id,
        side=order.side,
        outcome=order.outcome,
        before=before,
        stated_micros=stated_micros,
    )
    from_pool = figures.slippage_bps
    if stated_micros and figures.quantity:
        expected = expected_price(before, order.outcome, 0)
        from_pool = slippage_bps(order.side, figures.cost, figures.quantity, expected)
    effects = applied.effects
    points = sum(
        change.available_delta for change in effects.accounts if effects.users[change.user] == order.actor_id
    )
    return Execution(figures, legs_of(effects, order.order_id), from_pool, points, len(effects.trades))


def _market_order(like: PlaceOrder, size: int) -> PlaceOrder:
    """A MARKET order of that many points (BUY) or shares (SELL)."""
    buys = like.side is Side.BUY
    return PlaceOrder(
        market_id=like.market_id,
        actor_id=like.actor_id,
        order_id=like.order_id,
        side=like.side,
        outcome=like.outcome,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        amount_micros=size if buys else 0,
        quantity_micros=0 if buys else size,
        self_trade=like.self_trade,
    )


def _holding(order: PlaceOrder) -> Position:
    yes, no = (order.quantity_micros, 0) if order.outcome is Outcome.YES else (0, order.quantity_micros)
    return Position(order.market_id, ANYBODY, (yes, no, 0, 0, 0, 0, 0))


def _sizes(smaller_reserve: int) -> Iterator[int]:
    """1, 2, 5, 10, ... from a thousandth of the pool, at least a Point."""
    base = MICROS
    while base * 10 <= smaller_reserve // 1_000:
        base *= 10
    for number in range(CURVE_POINTS_MAX):
        size = SIZES[number % 3] * base * 10 ** (number // 3)
        if size > AMOUNT_MAX_MICROS:
            return
        yield size
