"""Random, adversarial traffic: few users, few price levels near the pool, sizes from dust to absurd.

One `Traffic` plays one market from genesis to settlement. It looks at the reference state to aim: at the best
maker's remainder, at the pool's price, at a user's last micro.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.oracle import lifecycle, trading
from tests.oracle.model import BUY, NO, SELL, TREASURY, YES, Market, World, other
from tests.oracle.pool import UNIT
from tests.oracle.router import MAKERS_MAX
from tests.oracle.trading import AMOUNT_MAX, Answer, Place
from tests.oracle.world import apply

ADMIN = "00000000-0000-4000-8000-0000000000ad"


@dataclass(frozen=True, slots=True)
class Amend:
    user: str
    order_id: str
    quantity: int | None
    price: int | None


@dataclass(frozen=True, slots=True)
class Cancel:
    user: str
    order_id: str


@dataclass(frozen=True, slots=True)
class CancelAll:
    user: str


@dataclass(frozen=True, slots=True)
class Mint:
    user: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Merge:
    user: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Pause:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    pass


@dataclass(frozen=True, slots=True)
class Sweep:
    pass


@dataclass(frozen=True, slots=True)
class Grant:
    user: str
    amount: int


@dataclass(frozen=True, slots=True)
class Resolve:
    outcome: str


@dataclass(frozen=True, slots=True)
class CancelMarket:
    pro_rata: bool


Command = (
    Place
    | Amend
    | Cancel
    | CancelAll
    | Mint
    | Merge
    | Pause
    | Resume
    | Sweep
    | Grant
    | Resolve
    | CancelMarket
)


def execute(
    world: World, market_id: str, now: int, command: Command, makers_max: int = MAKERS_MAX
) -> tuple[World, Answer | frozenset[str]]:
    """Run one command on the reference."""

    def step(trial: World, market: Market) -> Answer:
        match command:
            case Place():
                return trading.place(trial, now, command, makers_max)
            case Amend(user, order_id, quantity, price):
                return trading.amend(
                    trial, now, market, user, order_id, quantity or None, price or None, makers_max
                )
            case Cancel(user, order_id):
                return trading.cancel(trial, market, user, order_id)
            case CancelAll(user):
                return trading.cancel_all(trial, market, user)
            case Mint(user, quantity):
                return trading.mint(trial, now, market, user, quantity)
            case Merge(user, quantity):
                return trading.merge(trial, now, market, user, quantity)
            case Pause():
                return lifecycle.pause(market, "ADMIN")
            case Resume():
                return lifecycle.resume(now, market)
            case Sweep():
                return lifecycle.sweep(trial, market)
            case Grant(user, amount):
                return lifecycle.grant(trial, user, amount)
            case Resolve(outcome):
                return lifecycle.resolve(trial, market, ADMIN, outcome)
            case CancelMarket(pro_rata):
                return lifecycle.cancel_market(trial, market, ADMIN, pro_rata)

    return apply(world, market_id, step)


@dataclass(slots=True)
class Traffic:
    """Draws the set-up of a market and then one command after the other, all from one seeded generator."""

    random: Random
    market_id: str
    users: list[str]
    orders_made: int = 0

    @classmethod
    def start(cls, seed: str) -> Traffic:
        random = Random(seed)
        users = [uuid_of(random) for _ in range(random.choice([2, 3, 3, 4, 6]))]
        return cls(random, uuid_of(random), users)

    def new_world(self) -> World:
        """A funded world with one DRAFT market of drawn shape."""
        random = self.random
        tick = random.choice([10_000, 10_000, 1_000])
        probability = random.choice(
            [500_000, 500_000, 600_000, 20_000, 980_000, 1_000, 999_000, random.randint(1_000, 999_000)]
        )
        ratio = max(probability, UNIT - probability) // min(probability, UNIT - probability) + 1
        smallest = 1_000 * (UNIT // tick) * ratio
        liquidity = max(smallest, random.choice([0, 10**6, 10**8, 10**9, random.randint(1, 10**10), 10**13]))
        world = World()
        for user in self.users:
            lifecycle.grant(
                world, user, random.choice([0, 5_000, 10**6, 10**7, 10**9, 10**10, 10**10, 10**14])
            )
        lifecycle.grant(world, TREASURY, liquidity + random.choice([0, 10**9]))
        world.markets[self.market_id] = Market(
            self.market_id,
            tick,
            random.choice([0, 200, 200, 1_000, 137, 1]),
            liquidity,
            probability,
            closes_at=10**12,
        )
        return world

    def next(self, world: World, now: int) -> Command:
        random, market = self.random, world.markets[self.market_id]
        user = random.choice(self.users)
        draw = random.random()
        if market.status == "PAUSED" and draw < 0.2:
            return Resume()
        if draw < 0.62:
            return self.limit(market, world, user, now)
        if draw < 0.80:
            return self.market_order(market, world, user)
        if draw < 0.87:
            return self.change(market, user)
        if draw < 0.90:
            return Mint(user, self.size(market, world, user))
        if draw < 0.925:
            position = market.position(user)
            sets = min(position.yes, position.no)
            return Merge(user, random.choice([1, sets, sets // 2, self.size(market, world, user)]))
        if draw < 0.935:
            return CancelAll(user)
        if draw < 0.95:
            return Grant(user, random.choice([1, 10**6, 10**9, 10**9, -1_000]))
        if draw < 0.955:
            return Sweep()
        return (
            Resume()
            if market.status == "PAUSED"
            else Pause()
            if random.random() < 0.1
            else self.limit(market, world, user, now)
        )

    def limit(self, market: Market, world: World, user: str, now: int) -> Place:
        random = self.random
        side, outcome = random.choice([BUY, BUY, SELL]), random.choice([YES, NO])
        if side == SELL and market.position(user).held(outcome) == 0:
            outcome = other(outcome)
            side = BUY if market.position(user).held(outcome) == 0 else SELL
        price = self.price(market, outcome)
        if side == SELL:
            quantity = self.cover(market, user, outcome)
        else:
            quantity = self.quantity(market, world, user, side, outcome, price)
        if random.random() < 0.98:
            quantity = max(quantity - quantity % market.lot, -(-1_000 // market.lot) * market.lot)
        else:
            quantity = random.choice([quantity, 0, 900, AMOUNT_MAX, AMOUNT_MAX + market.lot])
        time_in_force = random.choice(["GTC", "GTC", "GTC", "GTC", "GTD", "GTD", "IOC", "FOK"])
        return Place(
            self.order_id(), user, market.market_id, side, outcome, "LIMIT", time_in_force, price, quantity,
            expires_at=now + random.choice([0, 1, 5, 20, 10**6]) if time_in_force == "GTD" else None,
            post_only=time_in_force in ("GTC", "GTD") and random.random() < 0.1,
            self_trade=random.choice(["CANCEL_TAKER", "CANCEL_MAKER"]),
        )  # fmt: skip

    def market_order(self, market: Market, world: World, user: str) -> Place:
        random = self.random
        outcome = random.choice([YES, NO])
        side = SELL if market.position(user).held(outcome) and random.random() < 0.5 else BUY
        amount = quantity = 0
        if side == SELL:
            quantity = random.choice([self.cover(market, user, outcome), random.randint(1, 2 * market.lot)])
        elif random.random() < 0.6:
            amount = max(self.size(market, world, user), random.choice([0, 1_000, 1_000, 1_000]))
        else:
            quantity = max(self.size(market, world, user), random.choice([0, 1_000, 1_000, 1_000]))
        return Place(
            self.order_id(), user, market.market_id, side, outcome, "MARKET", "IOC", 0, quantity, amount,
            max_slippage_bps=random.choice([10_000, 10_000, 10_000, 100, 0, 1_000]),
            expected_price=random.choice([None, None, None, self.price(market, outcome) or None]),
            self_trade=random.choice(["CANCEL_TAKER", "CANCEL_MAKER"]),
        )  # fmt: skip

    def change(self, market: Market, user: str) -> Command:
        random = self.random
        own = market.orders_of(user) if random.random() < 0.95 else market.orders
        if not own:
            return Cancel(user, uuid_of(random))
        order = random.choice(own)
        if random.random() < 0.35:
            return Cancel(user, order.order_id)
        lots = random.choice([1, 2, 10, order.remaining // market.lot // 2, order.remaining // market.lot])
        delta = random.choice([-1, -1, -1, 1, 0]) * lots * market.lot
        quantity = random.choice([order.quantity + delta, order.quantity + delta, None])
        price = random.choice([None, None, self.price(market, order.outcome), order.price])
        return Amend(user, order.order_id, quantity, price)

    # -- prices and sizes that hit edges

    def price(self, market: Market, outcome: str) -> int:
        """A few ticks around the pool's price, an opposite bid's mirror, or an end of the range."""
        random, tick = self.random, market.tick
        draw = random.random()
        if draw < 0.05:
            return random.choice([tick, UNIT - tick, 2 * tick, random.randint(0, UNIT)])
        if draw < 0.35 and market.orders:
            order = random.choice(market.orders)
            yes_price = order.bid if order.acquires == YES else UNIT - order.bid
            return yes_price if outcome == YES else UNIT - yes_price
        reserve = market.no if outcome == YES else market.yes
        around = reserve * UNIT // (market.yes + market.no) // tick * tick
        return min(UNIT - tick, max(tick, around + random.randint(-3, 4) * tick))

    def size(self, market: Market, world: World, user: str) -> int:
        random, lot = self.random, market.lot
        return max(0, random.choice([
            1, lot - 1, lot, lot + 1, 999, 1_000, 1_001, random.randint(1_000, 20_000), random.randint(10**4, 10**7),
            min(market.yes, market.no) // random.randint(2, 1_000), market.yes // random.randint(1, 100),
            world.available(user), world.available(user) // 2, self.depth(market), self.depth(market) + 1,
            random.choice([10**9, 10**12, AMOUNT_MAX, AMOUNT_MAX + 1, -1]),
        ]))  # fmt: skip

    def depth(self, market: Market) -> int:
        if not market.orders:
            return 1_000
        order = self.random.choice(market.orders)
        return self.random.choice([order.remaining, order.price * order.remaining // UNIT])

    def quantity(self, market: Market, world: World, user: str, side: str, outcome: str, price: int) -> int:
        """Of a BUY: often what the pool sells up to the price and some lots, or all the points there are."""
        random = self.random
        position = market.position(user)
        draw = random.random()
        if draw < 0.2 and price:
            return world.available(user) * UNIT * 10_000 // (
                price * (10_000 + market.fee_bps)
            ) + random.choice([0, market.lot])
        if draw < 0.4:
            return position.held(other(outcome)) + random.choice([0, 0, market.lot, -market.lot])
        return self.size(market, world, user)

    def cover(self, market: Market, user: str, outcome: str) -> int:
        random = self.random
        free = market.free_shares(user, outcome)
        return random.choice(
            [free, free, free // 2, free // 3, 1_000, free + 1, market.position(user).held(outcome)]
        )

    def order_id(self) -> str:
        self.orders_made += 1
        return uuid_of(self.random)


def uuid_of(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"
