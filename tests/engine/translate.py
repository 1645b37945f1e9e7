"""The reference's commands in the engine's words."""

from __future__ import annotations

from engine import commands
from engine.state import OrderType, Outcome, SelfTrade, Side, TimeInForce, Verdict
from tests.oracle.model import Market
from tests.oracle.trading import Place
from tests.oracle.traffic import (
    ADMIN,
    Amend,
    Cancel,
    CancelAll,
    CancelMarket,
    Command,
    Grant,
    Merge,
    Mint,
    Pause,
    Resolve,
    Resume,
    Sweep,
)  # fmt: skip

SYSTEM_STREAM = commands.system_stream_id(0)


def engine_command(command: Command, market_id: str) -> commands.AnyCommand:
    match command:
        case Place():
            return place(command)
        case Amend(user, order_id, quantity, price):
            return commands.AmendOrder(
                market_id=market_id, actor_id=user, order_id=order_id,
                price_micros=price or 0, quantity_micros=quantity or 0,
            )  # fmt: skip
        case Cancel(user, order_id):
            return commands.CancelOrder(market_id=market_id, actor_id=user, order_id=order_id)
        case CancelAll(user):
            return commands.CancelAllOrders(market_id=market_id, actor_id=user, user_id=user)
        case Mint(user, quantity):
            return commands.MintSets(market_id=market_id, actor_id=user, quantity_micros=quantity)
        case Merge(user, quantity):
            return commands.MergeSets(market_id=market_id, actor_id=user, quantity_micros=quantity)
        case Pause():
            return commands.PauseMarket(market_id=market_id, actor_id=ADMIN)
        case Resume():
            return commands.ResumeMarket(market_id=market_id, actor_id=ADMIN)
        case Sweep():
            return commands.SweepMarket(market_id=market_id, actor_id=ADMIN)
        case Grant(user, amount):
            return commands.GrantPoints(
                market_id=SYSTEM_STREAM,
                actor_id=ADMIN,
                user_id=user,
                grant="CORRECTION",
                amount_micros=amount,
            )
        case Resolve(outcome):
            return commands.ResolveMarket(market_id=market_id, actor_id=ADMIN, outcome=Verdict(outcome))
        case CancelMarket(pro_rata):
            return commands.CancelMarket(market_id=market_id, actor_id=ADMIN, pro_rata=pro_rata)


def place(command: Place) -> commands.PlaceOrder:
    return commands.PlaceOrder(
        market_id=command.market_id,
        actor_id=command.user,
        order_id=command.order_id,
        side=Side(command.side),
        outcome=Outcome(command.outcome),
        type=OrderType(command.kind),
        time_in_force=TimeInForce(command.time_in_force),
        price_micros=command.price,
        quantity_micros=command.quantity,
        amount_micros=command.amount,
        post_only=command.post_only,
        self_trade=SelfTrade(command.self_trade),
        expires_at=command.expires_at or 0,
        max_slippage_bps=command.max_slippage_bps,
        expected_price_micros=command.expected_price or 0,
    )


def create_market(market: Market) -> commands.CreateMarket:
    terms = commands.MarketTerms(
        question="Does it rain?",
        tick_micros=market.tick,
        fee_bps=market.fee_bps,
        liquidity_micros=market.liquidity,
        initial_probability_micros=market.initial_probability,
        closes_at=market.closes_at,
    )
    return commands.CreateMarket(market_id=market.market_id, actor_id=ADMIN, terms=terms)
