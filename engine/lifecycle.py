"""A market's life: DRAFT -> ACTIVE <-> PAUSED -> RESOLVED or CANCELLED; terms, genesis, pauses and sweeps."""

from __future__ import annotations

from typing import Any

from engine import pool
from engine.commands import (
    TREASURY_ID,
    ActivateMarket,
    CreateMarket,
    DeleteMarket,
    EditMarket,
    MarketTerms,
    PauseMarket,
    ResumeMarket,
    SweepMarket,
)
from engine.guards import amount_in_range, points_are_there, refuse_if
from engine.refusals import Code
from engine.run import Run
from engine.state import Market, MarketStatus
from engine.units import FEE_MAX_BPS, TICKS_ALLOWED_MICROS

CLOSED = "CLOSED"
"""The reason of a market that its closing time paused."""

_TEXT_MAX = {
    "question": 300,
    "description": 10_000,
    "rules": 10_000,
    "resolution_source": 1_000,
    "category": 60,
}
_TERMS = MarketTerms.__struct_fields__


def new_market(command: CreateMarket, now: int) -> Market:
    """A DRAFT with these terms and nothing in it."""
    terms_are_valid(command.terms)
    values: dict[str, Any] = dict.fromkeys(Market.FIELDS, 0)
    values.update(
        {name: getattr(command.terms, name) for name in _TERMS},
        status=MarketStatus.DRAFT,
        reason="",
        outcome="",
        settled=False,
        updated_at=now,
    )
    market = Market(command.market_id, command.actor_id, now, tuple(values[name] for name in Market.FIELDS))
    return market


def terms_are_valid(terms: MarketTerms) -> None:
    for name, longest in _TEXT_MAX.items():
        text = getattr(terms, name)
        refuse_if(len(text) > longest, Code.INVALID_ARGUMENT, f"{name} is longer than {longest}.", field=name)
        refuse_if("\x00" in text, Code.INVALID_ARGUMENT, f"{name} holds a NUL character.", field=name)
    refuse_if(not terms.question.strip(), Code.INVALID_ARGUMENT, "A question is needed.", field="question")
    refuse_if(
        terms.tick_micros not in TICKS_ALLOWED_MICROS,
        Code.INVALID_ARGUMENT,
        "tick_micros is 10,000 or 1,000.",
        field="tick_micros",
    )
    refuse_if(
        not 0 <= terms.fee_bps <= FEE_MAX_BPS, Code.INVALID_ARGUMENT, "fee_bps is 0..1,000.", field="fee_bps"
    )
    amount_in_range(terms.liquidity_micros, "liquidity_micros")
    refuse_if(
        not 1_000 <= terms.initial_probability_micros <= 999_000,
        Code.INVALID_ARGUMENT,
        "initial_probability_micros is 1,000..999,000.",
        field="initial_probability_micros",
    )
    refuse_if(
        terms.opens_at < 0 or terms.closes_at < 0,
        Code.INVALID_ARGUMENT,
        "Times are not negative.",
        field="closes_at",
    )
    genesis = pool.genesis_of(terms.liquidity_micros, terms.initial_probability_micros)
    minimum = pool.genesis_minimum(terms.tick_micros)
    refuse_if(
        min(genesis.yes, genesis.no) < minimum,
        Code.AMOUNT_TOO_SMALL,
        f"The smaller reserve would hold {min(genesis.yes, genesis.no)}; at least {minimum} are needed.",
        minimum_micros=minimum,
    )


def edit(run: Run, command: EditMarket) -> None:
    market, terms = run.market, command.terms
    _no_step_from_the_end(market)
    no_interest(run, command.actor_id)
    terms_are_valid(terms)
    if market.status is not MarketStatus.DRAFT:
        changed = [name for name in _TERMS if getattr(terms, name) != getattr(market, name)]
        refuse_if(
            bool(set(changed) - {"description", "closes_at"}),
            Code.INVALID_ARGUMENT,
            "Once activated only description and closes_at may change.",
            changed=", ".join(changed),
        )
    run.touch_market()
    for name in _TERMS:
        setattr(market, name, getattr(terms, name))


def delete(run: Run, command: DeleteMarket) -> None:
    _step(run.market, (MarketStatus.DRAFT,), "deleted")
    market = run.touch_market()
    market.status, market.reason, market.settled = MarketStatus.CANCELLED, "DELETED", True


def activate(run: Run, command: ActivateMarket) -> None:
    """Genesis: the treasury pays the liquidity and owns the pool and the surplus leg."""
    market = run.market
    _step(market, (MarketStatus.DRAFT,), "activated")
    _not_past_closing(run)
    points_are_there(run, TREASURY_ID, market.liquidity_micros)
    genesis = pool.genesis_of(market.liquidity_micros, market.initial_probability_micros)
    run.account(TREASURY_ID).available -= market.liquidity_micros
    market = run.touch_market()
    market.collateral = market.liquidity_micros
    market.pool_yes, market.pool_no = genesis.yes, genesis.no
    market.treasury_yes, market.treasury_no = genesis.treasury_yes, genesis.treasury_no
    market.status, market.reason = MarketStatus.ACTIVE, ""


def pause(run: Run, command: PauseMarket) -> None:
    """CLOSED is refused before `closes_at`, which an edit may have moved since the job looked. It is also for a market
    that an administrator has paused: its orders would else stay open, with their points, until it is decided."""
    closing = command.reason == CLOSED
    pausable = (MarketStatus.ACTIVE, MarketStatus.PAUSED) if closing else (MarketStatus.ACTIVE,)
    _step(run.market, pausable, "paused")
    early = not run.market.closes_at or run.now < run.market.closes_at
    refuse_if(closing and early, Code.INVALID_ARGUMENT, "closes_at has not come.")
    refuse_if(closing and run.market.reason == CLOSED, Code.MARKET_NOT_ACTIVE, "It has closed already.")
    market = run.touch_market()
    market.status, market.reason = MarketStatus.PAUSED, command.reason


def resume(run: Run, command: ResumeMarket) -> None:
    _step(run.market, (MarketStatus.PAUSED,), "resumed")
    _not_past_closing(run)
    market = run.touch_market()
    market.status, market.reason = MarketStatus.ACTIVE, ""


def sweep(run: Run, command: SweepMarket) -> None:
    """The market's revenue and its treasury's merged points go to the treasury's account."""
    market = run.touch_market()
    swept = market.vault + market.treasury_points
    refuse_if(swept == 0, Code.AMOUNT_TOO_SMALL, "There is nothing to sweep.")
    market.vault = market.treasury_points = 0
    run.account(TREASURY_ID).available += swept


def no_interest(run: Run, actor_id: str) -> None:
    """Nobody decides a market in which he has a stake."""
    position = run.market_state.positions.get(actor_id)
    holds = position is not None and (position.yes > 0 or position.no > 0)
    refuse_if(
        holds or bool(run.market_state.open_by_user.get(actor_id)),
        Code.CONFLICT_OF_INTEREST,
        "You hold a position or an open order in this market.",
    )


def is_releasing(market: Market) -> bool:
    """Whether the open orders of this market are to be released: it is decided, or paused by its closing time."""
    decided = market.status in (MarketStatus.RESOLVED, MarketStatus.CANCELLED)
    return decided or (market.status is MarketStatus.PAUSED and market.reason == CLOSED)


def _step(market: Market, allowed: tuple[MarketStatus, ...], done: str) -> None:
    refuse_if(
        market.status not in allowed,
        Code.MARKET_NOT_ACTIVE,
        f"A market that is {market.status} cannot be {done}.",
        status=market.status,
    )


def _no_step_from_the_end(market: Market) -> None:
    _step(market, (MarketStatus.DRAFT, MarketStatus.ACTIVE, MarketStatus.PAUSED), "edited")


def _not_past_closing(run: Run) -> None:
    refuse_if(
        bool(run.market.closes_at) and run.now >= run.market.closes_at,
        Code.MARKET_CLOSED,
        "closes_at has passed; edit the market first.",
        closes_at=run.market.closes_at,
    )
