"""The pool's and the fees' closed forms against their definitions in exact fractions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import fees, pool
from engine.pool import Reserves
from tests.oracle import pool as oracle

MICROS = 1_000_000
reserve = st.one_of(st.integers(1, 300), st.integers(1, 10**7), st.integers(1, 10**15))
amount = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 10**15))
tick_price = st.one_of(
    st.sampled_from([1_000, 10_000, 990_000, 999_000, 999_999, 1]),
    st.integers(1, 999).map(lambda tick: tick * 1_000),
)
fee_rate = st.sampled_from([0, 1, 137, 200, 999, 1_000])


@settings(max_examples=300)
@given(reserve, reserve, amount)
def test_spending_pays_the_floor_of_the_definition(a: int, b: int, spend: int) -> None:
    reserves = Reserves(a, b)
    assert pool.shares_for(reserves, spend) == oracle.received(a, b, spend)
    after = pool.after_spending(reserves, spend)
    assert after == oracle.after(a, b, spend, oracle.received(a, b, spend))
    assert after.product >= a * b


@settings(max_examples=300)
@given(reserve, reserve, amount)
def test_an_exact_quantity_costs_the_smallest_spend_that_yields_it(a: int, b: int, quantity: int) -> None:
    cost = pool.cost_of(Reserves(a, b), quantity)
    assert cost == oracle.smallest_spend(a, b, quantity)
    assert pool.after_buying(Reserves(a, b), quantity, cost).product >= a * b


@settings(max_examples=300)
@given(reserve, reserve, tick_price)
def test_the_spend_up_to_a_price_is_the_largest_that_stays_at_or_below_it(a: int, b: int, price: int) -> None:
    assert pool.cost_up_to_price(Reserves(a, b), price) == oracle.largest_spend_to(
        a, b, Fraction(price, MICROS)
    )


@settings(max_examples=300)
@given(reserve, tick_price, st.integers(0, 250))
def test_the_spend_up_to_a_price_is_right_just_below_it(a: int, price: int, short: int) -> None:
    b = max(1, a * price // (MICROS - price) - short)
    assert pool.cost_up_to_price(Reserves(a, b), price) == oracle.largest_spend_to(
        a, b, Fraction(price, MICROS)
    )


@settings(max_examples=200)
@given(reserve, tick_price, st.integers(0, 400), st.sampled_from([100, 1_000]), st.integers(1, 100))
def test_whole_lots_from_the_pool_never_cost_more_than_their_limit(
    a: int, price: int, short: int, lot: int, lots: int
) -> None:
    """What an order locks, limit x quantity, therefore always suffices: rounding up one leg cannot exceed it."""
    price = price - price % (MICROS // lot) or MICROS // lot
    b = max(1, a * price // (MICROS - price) - short)
    reserves = Reserves(a, b)
    most = pool.shares_for(reserves, pool.cost_up_to_price(reserves, price)) // lot
    quantity = min(most, lots) * lot
    assert pool.cost_of(reserves, quantity) * MICROS <= price * quantity


@settings(max_examples=300)
@given(reserve, reserve, amount)
def test_an_injection_is_the_proportion_and_leaves_the_price(yes: int, no: int, pending: int) -> None:
    injection = pool.injection_of(pending, min(yes, no), max(yes, no))
    add_yes, add_no, surplus_yes, surplus_no = oracle.inject(yes, no, pending)
    assert (injection.sets, injection.small) == (max(add_yes, add_no), min(add_yes, add_no))
    assert injection.sets - injection.small == surplus_yes + surplus_no
    assert injection.sets <= pending
    small, large = min(yes, no), max(yes, no)
    new_small, new_large = small + injection.small, large + injection.sets
    if injection.sets:
        assert new_small * new_large > small * large
        # The larger reserve is within one unit of where the price would be unmoved.
        assert 0 <= new_large - Fraction(new_small * large, small) < 1


@settings(max_examples=300)
@given(amount, fee_rate)
def test_fees_are_the_smallest_gross_and_the_ceiling_of_the_output(cost: int, rate: int) -> None:
    assert fees.buy_fee(cost, rate) == oracle.fee_on_cost(cost, rate)
    assert fees.sell_fee(cost, rate) == oracle.fee_on_output(cost, rate) <= cost
    budget = fees.opening_budget(cost, rate)
    assert budget + fees.buy_fee(budget, rate) <= cost
    assert budget + 1 + fees.buy_fee(budget + 1, rate) > cost


@given(st.integers(10**8, 10**15), st.integers(1_000, 999_000))
def test_genesis_is_the_proportion_of_the_larger_reserve(liquidity: int, probability: int) -> None:
    genesis = pool.genesis_of(liquidity, probability)
    assert max(genesis.yes, genesis.no) == liquidity
    assert genesis.yes + genesis.treasury_yes == genesis.no + genesis.treasury_no == liquidity
    assert min(genesis.treasury_yes, genesis.treasury_no) == 0
    small = min(probability, MICROS - probability)
    assert min(genesis.yes, genesis.no) == liquidity * small // (MICROS - small)


@given(reserve, reserve)
def test_published_probabilities_add_up_and_stay_inside(yes: int, no: int) -> None:
    assert 1 <= pool.probability(yes, no) <= MICROS - 1
