"""Random streams of commands through the engine and the naive reference, equal after every command."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.engine.episode import Difference, play
from tests.engine.rig import Rig
from tests.oracle import lifecycle
from tests.oracle.model import BUY, NO, SELL, TREASURY, YES, Market, World
from tests.oracle.pool import UNIT
from tests.oracle.trading import Place
from tests.oracle.traffic import Amend, Cancel, CancelAll, Merge, Mint, Pause, Resume

EPISODES, WORKERS = 80, 8
"""80 episodes of 250 commands: 20,000 in all, in slices that can run side by side."""

MARKET = "00000000-0000-4000-8000-00000000aaaa"
USERS = [f"00000000-0000-4000-8000-00000000000{letter}" for letter in "abc"]


@pytest.fixture(scope="session")
def hits() -> Counter[str]:
    return Counter()


@pytest.mark.parametrize("worker", range(WORKERS))
def test_random_traffic_leaves_engine_and_reference_equal(worker: int, hits: Counter[str]) -> None:
    for episode in range(EPISODES // WORKERS):
        result = play(f"test:{worker}:{episode}")
        assert not isinstance(result, Difference), (
            f"seed {result.seed}, command {result.index}\n{result.text}"
        )
        hits.update(result)


def test_the_traffic_hits_every_rule(hits: Counter[str]) -> None:
    """A rule that random traffic never reaches would go untested; the kinds below must all have occurred."""
    if not hits:
        pytest.skip("the slices ran elsewhere")
    missing = [kind for kind in EXPECTED if not hits[kind]]
    assert not missing, missing


EXPECTED = [
    *(f"{kind} accepted" for kind in (
        "Place", "Amend", "Cancel", "CancelAll", "Mint", "Merge", "Pause", "Resume", "Sweep", "Grant", "Resolve",
        "CancelMarket",
    )),
    *(f"trade {kind}" for kind in ("MINT", "MERGE", "COMPLEMENTARY", "POOL")),
    *(f"order {tif}" for tif in ("GTC", "GTD", "IOC", "FOK")),
    *(f"status {status}" for status in ("OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED")),
    "cut back", "partly netted", "maker netted", "own maker cancelled", "taker stopped by own maker", "post-only rests",
    "dust to the pool", "injection", "treasury pairs merged", "POOL BOOK POOL", "a decrease", "a new place",
    "dry run", "batch undone", "replayed", "settled",
    *(f"refused {code}" for code in (
        "INSUFFICIENT_FUNDS", "INSUFFICIENT_SHARES", "MARKET_NOT_ACTIVE", "ORDER_NOT_FOUND", "PRICE_NOT_ON_TICK",
        "QUANTITY_NOT_ON_LOT", "AMOUNT_TOO_SMALL", "SLIPPAGE_EXCEEDED", "POST_ONLY_WOULD_TAKE", "FOK_NOT_FILLABLE",
        "NOTHING_FILLED", "SELF_TRADE", "INVALID_ARGUMENT",
    )),
]  # fmt: skip


users = st.sampled_from(USERS)
outcomes = st.sampled_from([YES, NO])
self_trades = st.sampled_from(["CANCEL_TAKER", "CANCEL_MAKER"])
lots = st.one_of(st.sampled_from([10, 11, 20, 1_000, 100_000]), st.integers(10, 10**7))
ticks_away = st.integers(-3, 4)
sizes = st.one_of(st.integers(1, 300), st.integers(900, 2_000), st.integers(1_000, 10**9))


class MarketMachine(RuleBasedStateMachine):
    """Every rule is one command; `Rig.step` compares everything after it. Hypothesis shrinks what differs."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = 0
        self.rig: Rig | None = None

    @initialize(
        tick=st.sampled_from([10_000, 1_000]),
        fee_bps=st.sampled_from([0, 200, 1_000]),
        probability=st.sampled_from([1_000, 20_000, 500_000, 600_000, 999_000]),
        depth=st.sampled_from([1, 1, 50, 10**5]),
        funds=st.lists(st.sampled_from([0, 5_000, 10**7, 10**11]), min_size=3, max_size=3),
    )
    def open_market(self, tick: int, fee_bps: int, probability: int, depth: int, funds: list[int]) -> None:
        far = max(probability, UNIT - probability)
        liquidity = depth * 1_000 * (UNIT // tick) * (far // (UNIT - far) + 1)
        world = World()
        for user, amount in zip(USERS, funds, strict=True):
            lifecycle.grant(world, user, amount)
        lifecycle.grant(world, TREASURY, liquidity + 10**6)
        world.markets[MARKET] = Market(MARKET, tick, fee_bps, liquidity, probability, closes_at=10**18)
        self.rig = Rig(world, MARKET)
        self.rig.activate()

    @property
    def live(self) -> Rig:
        assert self.rig is not None
        return self.rig

    @property
    def market(self) -> Market:
        return self.live.world.markets[MARKET]

    def new_id(self) -> str:
        self.orders += 1
        return f"00000000-0000-4000-8000-1{self.orders:011d}"

    def near(self, outcome: str, away: int) -> int:
        market = self.market
        reserve = market.no if outcome == YES else market.yes
        price = reserve * UNIT // (market.yes + market.no) // market.tick * market.tick + away * market.tick
        return min(UNIT - market.tick, max(market.tick, price))

    @rule(
        user=users, side=st.sampled_from([BUY, BUY, SELL]), outcome=outcomes, size=lots, away=ticks_away,
        tif=st.sampled_from(["GTC", "GTC", "GTC", "GTD", "IOC", "FOK"]), post_only=st.booleans(),
        self_trade=self_trades, life=st.integers(1, 5),
    )  # fmt: skip
    def limit(
        self, user: str, side: str, outcome: str, size: int, away: int, tif: str, post_only: bool, self_trade: str,
        life: int,
    ) -> None:  # fmt: skip
        market = self.market
        quantity = size * market.lot
        if side == SELL:
            quantity = min(quantity, market.free_shares(user, outcome) // market.lot * market.lot)
        self.live.step(Place(
            self.new_id(), user, MARKET, side, outcome, "LIMIT", tif, self.near(outcome, away), quantity,
            expires_at=self.live.now + life if tif == "GTD" else None,
            post_only=post_only and tif in ("GTC", "GTD"), self_trade=self_trade,
        ))  # fmt: skip

    @rule(
        user=users, outcome=outcomes, size=sizes, by=st.sampled_from(["amount", "quantity", "sell"]),
        bps=st.sampled_from([100, 10_000, 10_000]), self_trade=self_trades,
    )  # fmt: skip
    def market_order(self, user: str, outcome: str, size: int, by: str, bps: int, self_trade: str) -> None:
        if by == "sell":
            size = min(size, self.market.free_shares(user, outcome))
        self.live.step(Place(
            self.new_id(), user, MARKET, SELL if by == "sell" else BUY, outcome, "MARKET", "IOC",
            quantity=0 if by == "amount" else size, amount=size if by == "amount" else 0,
            max_slippage_bps=bps, self_trade=self_trade,
        ))  # fmt: skip

    @precondition(lambda self: self.rig is not None and self.market.orders)
    @rule(pick=st.integers(0, 50), lots_more=st.integers(-20, 5), away=st.one_of(st.none(), ticks_away))
    def amend(self, pick: int, lots_more: int, away: int | None) -> None:
        order = self.market.orders[pick % len(self.market.orders)]
        quantity = order.quantity + lots_more * self.market.lot
        price = None if away is None else self.near(order.outcome, away)
        self.live.step(Amend(order.user, order.order_id, quantity, price))

    @precondition(lambda self: self.rig is not None and self.market.orders)
    @rule(pick=st.integers(0, 50), user=users)
    def cancel(self, pick: int, user: str) -> None:
        order = self.market.orders[pick % len(self.market.orders)]
        self.live.step(Cancel(user, order.order_id))

    @rule(user=users)
    def cancel_all(self, user: str) -> None:
        self.live.step(CancelAll(user))

    @rule(user=users, size=sizes)
    def mint(self, user: str, size: int) -> None:
        self.live.step(Mint(user, size))

    @rule(user=users, size=sizes)
    def merge(self, user: str, size: int) -> None:
        position = self.market.position(user)
        self.live.step(Merge(user, min(size, max(1, position.yes), max(1, position.no))))

    @rule(ticks=st.integers(1, 4))
    def wait(self, ticks: int) -> None:
        self.live.pass_time(ticks)

    @rule()
    def pause_or_resume(self) -> None:
        self.live.step(Resume() if self.market.status == "PAUSED" else Pause())

    @rule()
    def undo(self) -> None:
        self.live.undo_and_redo_batch()

    def teardown(self) -> None:
        if self.rig is not None:
            self.rig.replay()


TestMarketMachine = MarketMachine.TestCase
TestMarketMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
