"""Directed cases on the engine and the reference: bounds, funds to the last micro, shortfalls, the largest events."""

from __future__ import annotations

import pytest

from engine import commands
from engine.core import Applied
from engine.events import EVENT_BYTES_MAX
from engine.refusals import Refusal
from engine.state import Verdict
from engine.units import MAKERS_MAX, OPEN_ORDERS_MAX, STEP_MAX
from tests.engine.rig import Rig
from tests.engine.test_published_numbers import ANN, BOB, CARL, MARKET, POINT, Desk, spend, taken
from tests.engine.translate import place as translated
from tests.oracle import lifecycle
from tests.oracle.model import BUY, NO, SELL, TREASURY, YES, Market, World
from tests.oracle.trading import Place
from tests.oracle.traffic import Amend, CancelMarket, Mint


def order_id(number: int) -> str:
    return f"00000000-0000-4000-9000-{number:012d}"


def user_id(number: int) -> str:
    return f"00000000-0000-4000-a000-{number:012d}"


def crowd(users: int, funds: int = 10**9) -> Rig:
    """A market and many funded users. (The comparison is left to the end: it looks at every user.)"""
    world = World()
    lifecycle.grant(world, TREASURY, 10**12)
    for number in range(users):
        lifecycle.grant(world, user_id(number), funds)
    world.markets[MARKET] = Market(MARKET, 10_000, 200, 10**9, 500_000, closes_at=10**12)
    rig = Rig(world, MARKET)
    rig.activate()
    return rig


def place(
    rig: Rig, number: int, user: str, side: str, outcome: str, price: int, quantity: int, **rest: object
) -> None:
    """Straight to the engine, for the many orders that only set the scene."""
    command = Place(order_id(number), user, MARKET, side, outcome, price=price, quantity=quantity, **rest)  # type: ignore[arg-type]
    rig.accept(translated(command))


@pytest.mark.parametrize("fee_bps", [0, 137, 200, 1_000])
def test_a_hundred_small_book_fills_cost_exactly_what_one_would(fee_bps: int) -> None:
    paid, fees = [], []
    for pieces in (100, 1):
        desk = Desk(100 * POINT, 100 * POINT, fee_bps=fee_bps)
        for _ in range(pieces):
            desk.place(ANN, BUY, NO, price=500_000, quantity=POINT // pieces)
        before = desk.points(BOB)
        applied = desk.place(BOB, BUY, YES, price=500_000, quantity=POINT)
        assert len(taken(applied)) == pieces
        paid.append(before - desk.points(BOB))
        fees.append(sum(fee for *_, fee in taken(applied)))
    assert paid[0] == paid[1]
    assert fees[0] == fees[1]


def test_a_user_whose_last_micro_is_locked_never_goes_below_zero() -> None:
    desk = Desk(100 * POINT, 100 * POINT, funds=10)
    # 10 points: limit x quantity plus fee on it takes all; half fills at once, the rest rests and is filled later.
    quantity = 19_600_000
    desk.place(BOB, BUY, NO, price=500_000, quantity=5 * POINT)
    desk.place(ANN, BUY, YES, price=500_000, quantity=quantity)
    account = desk.rig.engine.state.account(ANN)
    assert account.available >= 0
    assert desk.do(Mint(ANN, max(1_000, account.available + 1))) is None
    desk.place(CARL, BUY, NO, price=500_000, quantity=quantity - 5 * POINT)
    assert (account.available >= 0, account.locked) == (True, 0)


def test_the_two_hundred_and_first_open_order_is_refused() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    for number in range(OPEN_ORDERS_MAX):
        desk.place(ANN, BUY, YES, price=10_000 + number % 40 * 10_000, quantity=1_000)
    command = Place(order_id(1), ANN, MARKET, BUY, YES, price=10_000, quantity=1_000)
    assert desk.do(command) is None
    assert isinstance(desk.rig.last, Refusal)
    assert desk.rig.last.code == "TOO_MANY_OPEN_ORDERS"
    desk.place(ANN, BUY, YES, kind="MARKET", time_in_force="IOC", amount=1_000)
    some = next(iter(desk.rig.state.orders))
    assert desk.do(Amend(ANN, some, None, 410_000)) is not None


def test_an_order_meets_at_most_a_thousand_makers_and_its_event_stays_small() -> None:
    makers = MAKERS_MAX + 1
    rig = crowd(makers + 1)
    for number in range(makers):
        place(rig, number, user_id(number), BUY, NO, 500_000, 1_000)
    buy = Place(order_id(9_999), user_id(makers), MARKET, BUY, YES, price=500_000, quantity=1_000 * makers)
    answer = rig.engine.apply(translated(buy), now=rig.now)
    assert isinstance(answer, Applied)
    order = next(row for row in answer.effects.orders if row.order_id == order_id(9_999))
    assert (order.status, order.reason, order.filled) == ("CANCELLED", "TOO_MANY_MAKERS", 1_000 * MAKERS_MAX)
    assert len(answer.effects.trades) == MAKERS_MAX
    rig.record(answer)
    balances_after = 45 * len(answer.effects.accounts)  # three long numbers a row, which the writer fills in
    assert len(rig.events[-1]) + balances_after <= EVENT_BYTES_MAX


def test_the_largest_settlement_steps_stay_small() -> None:
    rig = crowd(STEP_MAX)
    for number in range(STEP_MAX):
        rig.accept(
            commands.MintSets(market_id=MARKET, actor_id=user_id(number), quantity_micros=10_000_000 + number)
        )
        place(rig, number, user_id(number), SELL, YES, 600_000 + number % 39 * 10_000, 10_000_000)
    system = {"market_id": MARKET, "actor_id": commands.SYSTEM_ID}
    rig.accept(commands.ResolveMarket(**system, outcome=Verdict.AMBIGUOUS))
    sizes = []
    while rig.state.orders:
        rig.accept(commands.ReleaseOrders(**system, limit=STEP_MAX))
        sizes.append(len(rig.events[-1]))
    while not rig.state.market.settled:
        rig.accept(commands.PayHolders(**system, limit=STEP_MAX))
        sizes.append(len(rig.events[-1]))
    assert max(sizes) <= EVENT_BYTES_MAX
    rig.replay()


def test_a_cancellation_beyond_the_waterfall_is_refused_and_then_paid_pro_rata() -> None:
    desk = Desk(POINT, POINT, fee_bps=0)
    size = 100 * POINT
    desk.place(BOB, BUY, NO, price=900_000, quantity=size)
    desk.place(ANN, BUY, YES, price=100_000, quantity=size)
    desk.place(CARL, BUY, YES, price=900_000, quantity=size)
    desk.place(ANN, SELL, YES, price=900_000, quantity=size // 10 * 9)
    assert desk.do(CancelMarket(pro_rata=False)) is None
    assert isinstance(desk.rig.last, Refusal)
    assert desk.rig.last.code == "TREASURY_SHORTFALL"
    desk.rig.settle(CancelMarket(pro_rata=True))
    assert desk.rig.hits["pro rata"] == 1
    desk.rig.replay()


def test_minting_at_95_and_selling_the_dear_leg_of_a_cancelled_market_gains_nothing() -> None:
    desk = Desk(5 * POINT, 95 * POINT)
    before = desk.points(ANN)
    assert desk.do(Mint(ANN, 10 * POINT)) is not None
    sale = {"kind": "MARKET", "time_in_force": "IOC", "quantity": 10 * POINT, "max_slippage_bps": 10_000}
    desk.place(ANN, SELL, YES, **sale)
    desk.rig.settle(CancelMarket(pro_rata=False))
    assert desk.points(ANN) <= before


def test_no_round_trip_through_the_pool_profits() -> None:
    for fee_bps in (0, 200):
        desk = Desk(37 * POINT, 63 * POINT, fee_bps=fee_bps)
        start = desk.points(ANN)
        for points in (1, 7, 50):
            desk.place(ANN, BUY, YES, **spend(points))
            held = desk.rig.state.positions[ANN].yes
            sale = {"kind": "MARKET", "time_in_force": "IOC", "quantity": held, "max_slippage_bps": 10_000}
            desk.place(ANN, SELL, YES, **sale)
            assert desk.points(ANN) <= start


def test_makers_whose_time_has_come_are_dropped_on_the_way() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    desk.place(ANN, BUY, NO, price=500_000, quantity=POINT, time_in_force="GTD", expires_at=desk.rig.now + 1)
    desk.place(CARL, BUY, NO, price=500_000, quantity=POINT)
    desk.rig.pass_time(1)
    applied = desk.place(BOB, BUY, YES, price=500_000, quantity=2 * POINT)
    assert [row.status for row in applied.effects.orders if row.expires_at] == ["EXPIRED"]
    assert [fill[0] for fill in taken(applied)] == ["BOOK"]
    assert desk.rig.engine.state.account(ANN).locked == 0
