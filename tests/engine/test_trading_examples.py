"""The worked examples of docs/trading.md, with every balance."""

from __future__ import annotations

from uuid import UUID

import pytest

from engine import commands as c
from engine.check import check
from engine.core import Applied, Engine
from engine.state import Account, OrderType, Outcome, Position, ShardState, Side

POINT = 1_000_000
MARKET = "00000000-0000-4000-8000-00000000abcd"
TAKER, MAKER = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"


class Desk:
    """A market whose pool stands at 0.60 exactly, where at equal price the book goes first."""

    def __init__(self, *, fee_bps: int = 0) -> None:
        self.state = ShardState()
        self.engine = Engine(self.state)
        self.orders = 0
        self.state.accounts = {user: Account(user, 1_000 * POINT) for user in (TAKER, MAKER, c.TREASURY_ID)}
        terms = c.MarketTerms(
            question="Rain?",
            liquidity_micros=600 * POINT,
            initial_probability_micros=600_000,
            fee_bps=fee_bps,
        )
        self.apply(c.CreateMarket(market_id=MARKET, actor_id=c.SYSTEM_ID, terms=terms))
        self.apply(c.ActivateMarket(market_id=MARKET, actor_id=c.SYSTEM_ID))

    def apply(self, command: c.AnyCommand) -> Applied:
        answer = self.engine.apply(command, now=1)
        assert isinstance(answer, Applied), answer
        assert check(self.state.markets[MARKET]) == []
        return answer

    def limit(self, user: str, side: Side, outcome: Outcome, price: int, shares: int) -> Applied:
        self.orders += 1
        return self.apply(
            c.PlaceOrder(
                market_id=MARKET,
                actor_id=user,
                order_id=str(UUID(int=self.orders, version=4)),
                side=side,
                outcome=outcome,
                type=OrderType.LIMIT,
                price_micros=price,
                quantity_micros=shares * POINT,
            )
        )

    def mint(self, user: str, shares: int) -> None:
        self.apply(c.MintSets(market_id=MARKET, actor_id=user, quantity_micros=shares * POINT))

    def points(self, user: str) -> int:
        account = self.state.accounts[user]
        assert account.locked == 0
        return account.available

    def shares(self, user: str) -> tuple[int, int]:
        position = self.state.markets[MARKET].positions.get(user) or Position(MARKET, user)
        return position.yes // POINT, position.no // POINT

    @property
    def collateral(self) -> int:
        return self.state.markets[MARKET].market.collateral


KINDS = [
    ("MINT", Side.BUY, (Side.BUY, Outcome.NO, 400_000), (-6, -4), ((10, 0), (0, 10)), 10),
    ("COMPLEMENTARY", Side.BUY, (Side.SELL, Outcome.YES, 600_000), (-6, 6), ((10, 0), (-10, 0)), 0),
    ("MERGE", Side.SELL, (Side.SELL, Outcome.NO, 400_000), (6, 4), ((-10, 0), (0, -10)), -10),
]


@pytest.mark.parametrize(("kind", "side", "maker", "points", "shares", "collateral"), KINDS)
def test_each_kind_of_match_moves_what_the_table_says(
    kind: str,
    side: Side,
    maker: tuple[Side, Outcome, int],
    points: tuple[int, int],
    shares: tuple[tuple[int, int], tuple[int, int]],
    collateral: int,
) -> None:
    desk = Desk()
    for user in (TAKER, MAKER):
        if side is Side.SELL or (user == MAKER and maker[0] is Side.SELL):
            desk.mint(user, 10)
    desk.limit(MAKER, *maker, 10)
    before = {
        user: desk.state.accounts[user].available + desk.state.accounts[user].locked
        for user in (TAKER, MAKER)
    }
    held = {user: desk.shares(user) for user in (TAKER, MAKER)}
    had = desk.collateral
    answer = desk.limit(TAKER, side, Outcome.YES, 600_000, 10)
    assert [(trade.venue, trade.kind) for trade in answer.effects.trades] == [("BOOK", kind)]
    for user, gained, moved in zip((TAKER, MAKER), points, shares, strict=True):
        assert desk.points(user) - before[user] == gained * POINT
        assert desk.shares(user) == (held[user][0] + moved[0], held[user][1] + moved[1])
    assert desk.collateral - had == collateral * POINT


def test_buying_the_opposite_nets_and_returns_a_point_per_pair() -> None:
    desk = Desk(fee_bps=200)
    desk.limit(TAKER, Side.BUY, Outcome.NO, 990_000, 30)
    assert desk.shares(TAKER) == (0, 30)
    answer = desk.limit(TAKER, Side.BUY, Outcome.YES, 990_000, 50)
    assert desk.shares(TAKER) == (20, 0)
    assert sum(fill.netted for fill in answer.effects.fills) == 30 * POINT


def test_a_hundred_small_fills_cost_exactly_what_one_would() -> None:
    costs = []
    for pieces in (1, 100):
        desk = Desk(fee_bps=200)
        for _ in range(pieces):
            desk.limit(MAKER, Side.BUY, Outcome.NO, 400_000, 100 // pieces)
        had = desk.points(TAKER)
        answer = desk.limit(TAKER, Side.BUY, Outcome.YES, 600_000, 100)
        assert len(answer.effects.trades) == pieces
        costs.append(had - desk.points(TAKER))
    assert costs[0] == costs[1]
