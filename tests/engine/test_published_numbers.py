"""The numbers of the design and the protocol, from the engine, to the micro; the reference agrees on the way."""

from __future__ import annotations

from itertools import count

from engine.core import Applied
from engine.events import Fill
from tests.engine.rig import Rig
from tests.oracle import lifecycle
from tests.oracle.model import BUY, NO, SELL, TREASURY, YES, Market, World
from tests.oracle.trading import Place
from tests.oracle.traffic import Command, Merge, Mint

POINT = 1_000_000
MARKET = "00000000-0000-4000-8000-00000000bbbb"
ANN, BOB, CARL = (f"00000000-0000-4000-8000-00000000000{n}" for n in (5, 6, 7))


class Desk:
    """A market on the rig, and short words for what happens there."""

    def __init__(
        self, yes: int, no: int, fee_bps: int = 200, tick: int = 10_000, funds: int = 10_000
    ) -> None:
        self.ids = count(1)
        world = World()
        for user in (TREASURY, ANN, BOB, CARL):
            lifecycle.grant(world, user, (1_000_000 if user == TREASURY else funds) * POINT)
        liquidity, probability = max(yes, no), no * POINT // (yes + no)
        world.markets[MARKET] = Market(MARKET, tick, fee_bps, liquidity, probability, closes_at=10**12)
        self.rig = Rig(world, MARKET)
        self.rig.activate()

    @property
    def market(self) -> object:
        return self.rig.state.market

    def do(self, command: Command) -> Applied | None:
        """Run a command on both sides; None when it was refused."""
        self.rig.step(command, dry_run=True)
        return self.rig.last if isinstance(self.rig.last, Applied) else None

    def place(self, user: str, side: str, outcome: str, **rest: object) -> Applied:
        order_id = f"00000000-0000-4000-8000-{next(self.ids):012d}"
        applied = self.do(Place(order_id, user, MARKET, side, outcome, **rest))  # type: ignore[arg-type]
        assert applied is not None, self.rig.last
        return applied

    def points(self, user: str) -> int:
        account = self.rig.engine.state.account(user)
        return account.available + account.locked


def taken(applied: Applied) -> list[tuple[str, int, int, int]]:
    """(venue, quantity, cost, fee) of the taker's fills."""
    trades = applied.effects.trades
    return [(trades[f.trade].venue, f.quantity, f.cost, f.fee) for f in applied.effects.fills if f.taker]


def prices(applied: Applied) -> list[int]:
    fills: list[Fill] = applied.effects.fills
    return [fill.price_micros for fill in fills if fill.taker]


def spend(points: int) -> dict[str, object]:
    return {"kind": "MARKET", "time_in_force": "IOC", "amount": points * POINT, "max_slippage_bps": 10_000}


def test_a_hundred_points_without_fee_buy_157_yes() -> None:
    desk = Desk(400 * POINT, 600 * POINT, fee_bps=0)
    assert taken(desk.place(ANN, BUY, YES, **spend(100))) == [("POOL", 157_142_857, 100 * POINT, 0)]


def test_a_hundred_points_with_fee_and_where_the_fee_goes() -> None:
    desk = Desk(400 * POINT, 600 * POINT)
    assert taken(desk.place(ANN, BUY, YES, **spend(100))) == [("POOL", 154_160_458, 98 * POINT, 2 * POINT)]
    market = desk.rig.state.market
    assert (market.vault, market.pending) == (1 * POINT, 1)
    assert (market.pool_yes, market.pool_no) == (344_332_148, 698_999_999)
    assert market.treasury_yes == 200 * POINT + 507_393


def test_the_computed_case_of_the_protocol() -> None:
    desk = Desk(400 * POINT, 600 * POINT)
    desk.place(ANN, BUY, NO, price=380_000, quantity=4 * POINT)
    applied = desk.place(BOB, BUY, YES, price=620_000, quantity=50 * POINT)
    assert taken(applied) == [
        ("POOL", 42_230_700, 25_762_681, 525_769),
        ("BOOK", 4 * POINT, 2_480_000, 50_613),
    ]
    assert prices(applied) == [610_047, 620_000]
    order = next(row for row in applied.effects.orders if applied.effects.users[row.user] == BOB)
    assert (order.status, order.filled, order.remaining) == ("PARTIALLY_FILLED", 46_230_700, 3_769_300)
    assert (order.cost, order.fee, order.locked_points, order.netted) == (28_242_681, 576_382, 2_336_966, 0)
    assert -(-order.cost * POINT // order.filled) == 610_908
    assert applied.seq == 4


def test_one_order_is_filled_by_pool_book_pool() -> None:
    desk = Desk(100 * POINT, 100 * POINT, fee_bps=0)
    desk.place(ANN, BUY, NO, price=450_000, quantity=100 * POINT)
    assert taken(desk.place(BOB, BUY, YES, **spend(100))) == [
        ("POOL", 20_100_756, 10_554_160, 0),
        ("BOOK", 100 * POINT, 55 * POINT, 0),
        ("POOL", 55_933_726, 34_445_840, 0),
    ]
    # 68.965517 in the design; the reserve is rounded up after each of two pool legs, hence a micro more.
    assert (desk.rig.state.market.pool_yes, desk.rig.state.market.pool_no) == (68_965_518, 145 * POINT)


def test_selling_a_hundred_no_pays_37() -> None:
    desk = Desk(400 * POINT, 600 * POINT, fee_bps=0)
    desk.do(Mint(ANN, 100 * POINT))
    sale = desk.place(
        ANN, SELL, NO, kind="MARKET", time_in_force="IOC", quantity=100 * POINT, max_slippage_bps=10_000
    )
    assert taken(sale) == [("POOL", 100 * POINT, 37_652_461, 0)]


def test_mint_merge_and_complementary_with_every_balance() -> None:
    desk = Desk(100 * POINT, 100 * POINT)
    start = desk.points(ANN)
    desk.place(ANN, BUY, NO, price=500_000, quantity=10 * POINT)
    minted = desk.place(BOB, BUY, YES, price=500_000, quantity=10 * POINT)
    assert [trade.kind for trade in minted.effects.trades] == ["MINT"]
    assert desk.points(ANN) == start - 5 * POINT
    assert desk.points(BOB) == start - 5_102_041  # 5,102,041 - ceil(2% of it) = 5,000,000
    desk.place(BOB, SELL, YES, price=500_000, quantity=6 * POINT)
    merged = desk.place(ANN, SELL, NO, price=500_000, quantity=4 * POINT)
    assert [trade.kind for trade in merged.effects.trades] == ["MERGE"]
    assert desk.points(ANN) == start - 5 * POINT + 2 * POINT - 40_000
    complementary = desk.place(CARL, BUY, YES, price=500_000, quantity=2 * POINT)
    assert [trade.kind for trade in complementary.effects.trades] == ["COMPLEMENTARY"]
    assert desk.points(BOB) == start - 5_102_041 + 2 * POINT + 1 * POINT
    assert desk.points(CARL) == start - 1_020_409
    held = {user: (p.yes, p.no) for user, p in desk.rig.state.positions.items()}
    assert held == {ANN: (0, 6 * POINT), BOB: (4 * POINT, 0), CARL: (2 * POINT, 0)}


def test_minting_and_merging_is_free_and_exact() -> None:
    desk = Desk(400 * POINT, 600 * POINT)
    start = desk.points(ANN)
    desk.do(Mint(ANN, 1_234_567))
    assert desk.points(ANN) == start - 1_234_567
    position = desk.rig.state.positions[ANN]
    assert (position.basis_yes, position.basis_no) == (740_740, 493_827)
    desk.do(Merge(ANN, 1_234_567))
    assert desk.points(ANN) == start
    assert (position.basis_yes, position.basis_no, position.realized_pnl) == (0, 0, 0)
