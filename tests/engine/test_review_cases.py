"""Cases found by review: event size at its worst, reserved reasons, closing before its time."""

from __future__ import annotations

from typing import Any

from engine import commands as c
from engine.core import Applied, Engine, system_stream
from engine.events import EVENT_BYTES_MAX, size_at_most
from engine.refusals import Refusal
from engine.state import OrderType, Outcome, ShardState, Side, Verdict

MARKET, SYSTEM = "3f2b8a54-1111-4222-8333-0123456789ab", c.system_stream_id(0)
NOW = 1_795_000_000_000_000
IDS: dict[str, Any] = {"market_id": MARKET, "actor_id": c.SYSTEM_ID}


def accept(engine: Engine, command: c.AnyCommand) -> Applied:
    applied = engine.apply(command, now=NOW)
    assert isinstance(applied, Applied), applied
    return applied


def grant(engine: Engine, user: str, amount: int) -> None:
    accept(
        engine,
        c.GrantPoints(
            market_id=SYSTEM, actor_id=c.SYSTEM_ID, user_id=user, grant="REWARD", amount_micros=amount
        ),
    )


def opened(probability: int = 500_000) -> Engine:
    engine = Engine(ShardState())
    engine.state.markets[SYSTEM] = system_stream(0)
    grant(engine, c.TREASURY_ID, 10**15)
    terms = c.MarketTerms(
        question="?", liquidity_micros=10**11, tick_micros=1_000, initial_probability_micros=probability
    )
    accept(engine, c.CreateMarket(**IDS, terms=terms))
    accept(engine, c.ActivateMarket(**IDS))
    return engine


def user(number: int) -> str:
    return f"7d0e1c52-9a3b-4f6d-8a7e-{number:012x}"


def test_a_sweep_of_a_thousand_levels_with_pool_legs_between_keeps_its_event_below_512_kib() -> None:
    engine = opened(probability=1_000)
    order: dict[str, Any] = {"market_id": MARKET, "type": OrderType.LIMIT, "side": Side.BUY}
    for number in range(997):
        grant(engine, user(number), 10**10)
        price = 1_000_000 - (number + 2) * 1_000
        accept(engine, c.PlaceOrder(**order, actor_id=user(number), order_id=user(number), outcome=Outcome.NO,
                                    price_micros=price, quantity_micros=10_000_000))  # fmt: skip
    grant(engine, user(5_000), 10**15)
    sweep = c.PlaceOrder(market_id=MARKET, type=OrderType.MARKET, side=Side.BUY, actor_id=user(5_000),
                         order_id=user(5_000), outcome=Outcome.YES, amount_micros=10**13, max_slippage_bps=10_000,
                         expected_price_micros=999_999)  # fmt: skip
    applied = accept(engine, sweep)
    assert size_at_most(sweep, applied.effects) <= EVENT_BYTES_MAX
    assert applied.effects.orders[0].reason == "TOO_MANY_MAKERS"


def test_the_reason_of_a_withdrawn_draft_cannot_hide_a_decided_market() -> None:
    engine = opened()
    for command in (
        c.ResolveMarket(**IDS, outcome=Verdict.YES, reason="DELETED"),
        c.CancelMarket(**IDS, reason="DELETED"),
    ):
        assert isinstance(engine.apply(command, now=NOW), Refusal)


def test_a_market_is_not_closed_before_its_time() -> None:
    assert isinstance(opened().apply(c.PauseMarket(**IDS, reason="CLOSED"), now=NOW), Refusal)


def test_a_market_that_is_paused_at_its_closing_time_closes_once() -> None:
    engine, closes_at = opened(), NOW + 1
    terms = c.MarketTerms(question="?", liquidity_micros=10**11, tick_micros=1_000, closes_at=closes_at)
    accept(engine, c.EditMarket(**IDS, terms=terms))
    accept(engine, c.PauseMarket(**IDS))
    closing = c.PauseMarket(**IDS, reason="CLOSED")
    assert isinstance(engine.apply(closing, now=NOW), Refusal)
    assert isinstance(engine.apply(closing, now=closes_at), Applied)
    assert engine.state.markets[MARKET].market.reason == "CLOSED"
    again = engine.apply(closing, now=closes_at)
    assert isinstance(again, Refusal)
    assert again.code == "MARKET_NOT_ACTIVE"
