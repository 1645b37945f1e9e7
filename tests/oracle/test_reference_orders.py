"""The reference's orders: bounds, expiry, amendments, dust, and the checks it judges others with."""

from __future__ import annotations

import pytest

from tests.oracle import lifecycle, trading
from tests.oracle.best_execution import check_best_execution, check_price_time
from tests.oracle.invariants import check_step, check_world, executable, joint_value
from tests.oracle.model import BUY, NO, SELL, YES
from tests.oracle.test_reference import POINT, Desk, M, fills
from tests.oracle.trading import Answer, Place
from tests.oracle.traffic import Traffic, execute
from tests.oracle.world import apply


def test_the_bound_on_makers_counts_expired_orders_and_cancels_the_rest() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    for _ in range(3):
        desk.place("a", BUY, NO, price=500_000, quantity=POINT, time_in_force="GTD", expires_at=5)
    for _ in range(3):
        desk.place("a", BUY, NO, price=500_000, quantity=POINT)
    command = Place("taker", "b", M, BUY, YES, price=510_000, quantity=20 * POINT)
    desk.world, answer = apply(desk.world, M, lambda w, m: trading.place(w, 9, command, makers_max=5))
    assert isinstance(answer, Answer)
    assert [fill[1] for fill in fills(answer)] == [POINT, POINT]
    assert answer.order is not None
    assert (answer.order.status, answer.order.reason) == ("CANCELLED", "TOO_MANY_MAKERS")
    assert [order.status for order in answer.touched.values()].count("EXPIRED") == 3
    assert len(desk.market.orders) == 1


def test_a_decrease_keeps_the_place_and_anything_else_loses_it() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    first = desk.place("a", BUY, NO, price=490_000, quantity=2 * POINT).order
    desk.place("b", BUY, NO, price=490_000, quantity=2 * POINT)
    assert first is not None

    def amend(quantity: int | None, price: int | None) -> None:
        desk.step(lambda w, m: trading.amend(w, 1, m, "a", first.order_id, quantity, price))

    amend(POINT, None)
    assert [order.user for order in desk.market.makers_for(YES)] == ["a", "b"]
    assert desk.world.locked("a") == 490_000
    amend(3 * POINT, None)
    assert [order.user for order in desk.market.makers_for(YES)] == ["b", "a"]
    amend(None, 495_000 // 10_000 * 10_000 + 10_000)
    order = desk.market.orders_of("a")[0]
    assert (order.order_id, order.price, order.remaining) == (first.order_id, 500_000, 3 * POINT)


def test_an_amended_order_counts_what_it_filled_and_what_was_cut() -> None:
    desk = Desk(100 * POINT, 100 * POINT, fee_bps=0)
    order = desk.place("a", BUY, NO, price=500_000, quantity=10 * POINT).order
    assert order is not None
    desk.place("b", BUY, YES, price=500_000, quantity=4 * POINT)
    desk.step(lambda w, m: trading.amend(w, 1, m, "a", order.order_id, 6 * POINT, 490_000))
    now = desk.market.orders_of("a")[0]
    assert (now.quantity, now.filled, now.remaining) == (6 * POINT, 4 * POINT, 2 * POINT)


def test_dust_pushes_the_pool_past_a_resting_order_a_lot_at_a_time() -> None:
    """Why I-10 is checked with a slack that counts dust: each leg is below a lot, but they add up."""
    desk = Desk(100 * POINT, 100 * POINT)
    desk.place("a", BUY, NO, price=500_000, quantity=50 * POINT)
    for _ in range(20):
        desk.place("b", BUY, YES, kind="MARKET", amount=1_000)
    assert executable(desk.market, NO, 500_000) > 10 * desk.market.lot


def test_dust_leaves_only_with_the_widest_slippage() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    desk.mint("a", POINT)
    assert desk.refused("a", SELL, YES, kind="MARKET", quantity=1) == frozenset({"SLIPPAGE_EXCEEDED"})
    assert fills(desk.place("a", SELL, YES, kind="MARKET", quantity=1, max_slippage_bps=10_000)) == [
        ("POOL", 1, 0, 0)
    ]


def test_minting_and_selling_the_dear_leg_of_a_cancelled_market_gains_nothing() -> None:
    desk = Desk(5 * POINT, 95 * POINT)
    before = desk.world.points["a"]
    desk.mint("a", 10 * POINT)
    desk.place("a", SELL, YES, kind="MARKET", quantity=10 * POINT, max_slippage_bps=10_000)
    desk.step(lambda w, m: lifecycle.cancel_market(w, m, "admin", False))
    assert desk.world.points["a"] <= before


@pytest.mark.parametrize("seed", range(12))
def test_random_traffic_breaks_no_invariant_of_the_reference(seed: int) -> None:
    traffic = Traffic.start(f"reference:{seed}")
    world, market_id = traffic.new_world(), traffic.market_id
    world, answer = apply(world, market_id, lambda w, m: lifecycle.activate(w, 0, m))
    assert isinstance(answer, Answer)
    now = 1
    for _ in range(150):
        now += traffic.random.choice([0, 0, 1, 2])
        command, before = traffic.next(world, now), world
        world, answer = execute(before, market_id, now, command)
        if isinstance(answer, frozenset):
            continue
        kind = type(command).__name__
        check_step(before, world, market_id, answer, kind == "Mint")
        check_world(world)
        if isinstance(command, Place):
            check_best_execution(before, now, command, answer)
            check_price_time(before, now, command, answer)
        if kind not in ("Grant", "Sweep"):
            gained = joint_value(world, market_id) - joint_value(before, market_id)
            assert gained <= before.markets[market_id].pending, f"I-8 jointly: {gained} by {command}"
