"""The engine and the reference, fed the same commands and compared after each one."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from engine import commands
from engine.check import check
from engine.core import Applied, Engine, system_stream
from engine.events import EVENT_BYTES_MAX, Event, decode, encode, hash_of
from engine.hashing import accounts_hash, state_hash
from engine.refusals import Refusal
from engine.replay import fold
from engine.state import MarketState, ShardState
from engine.units import STEP_MAX
from tests.engine.compare import check_ledger, compare_effects, compare_world, same
from tests.engine.translate import SYSTEM_STREAM, create_market, engine_command
from tests.oracle import lifecycle
from tests.oracle.best_execution import check_best_execution, check_price_time
from tests.oracle.invariants import check_step, check_world, joint_value
from tests.oracle.model import World
from tests.oracle.trading import Answer, Place
from tests.oracle.traffic import Amend, CancelMarket, Command, Grant, Resolve, execute
from tests.oracle.world import apply

START = 1_700_000_000_000_000
"""Any time in microseconds; the traffic counts from here."""


class Rig:
    """One market on both sides. `hits` counts what the commands reached, so that a test can ask for all of it."""

    def __init__(self, world: World, market_id: str) -> None:
        self.world, self.market_id, self.now = world, market_id, START
        for market in world.markets.values():
            market.closes_at += START
        self.hits: Counter[str] = Counter()
        self.last: Applied | Refusal | None = None
        self.events: list[bytes] = []
        self.batch: list[tuple[commands.AnyCommand, int]] = []
        self.engine = Engine(ShardState())
        self.engine.state.markets[SYSTEM_STREAM] = system_stream(0)
        for user, points in world.points.items():
            if points:
                self.accept(engine_command(Grant(user, points), market_id))
        self.accept(create_market(world.markets[market_id]))
        self.mark = self.engine.mark()
        self.batch_hash = self.hash()

    @property
    def state(self) -> MarketState:
        return self.engine.state.markets[self.market_id]

    def hash(self) -> tuple[str, ...]:
        shard = self.engine.state
        return (*(state_hash(state) for _, state in sorted(shard.markets.items())), accounts_hash(shard))

    def pass_time(self, microseconds: int) -> None:
        self.now += microseconds

    # -- commands

    def accept(self, command: commands.AnyCommand) -> Applied:
        """Apply what must be accepted, and keep its event."""
        applied = self.engine.apply(command, now=self.now)
        assert isinstance(applied, Applied), applied
        self.record(applied)
        return applied

    def record(self, applied: Applied) -> None:
        event = Event(
            market_id=applied.command.market_id,
            seq=applied.seq,
            shard=0,
            epoch=1,
            time=applied.time,
            command=applied.command,
            effects=applied.effects,
            previous_hash=hash_of(self.events[-1]) if self.events else "",
        )
        payload = encode(event)
        assert len(payload) <= EVENT_BYTES_MAX
        self.events.append(payload)
        if applied.command.market_id == self.market_id:
            ended = self.state.market.status in ("RESOLVED", "CANCELLED")
            if not ended:
                check_ledger(applied.effects)

    def activate(self) -> None:
        self.world, answer = apply(
            self.world, self.market_id, lambda world, market: lifecycle.activate(world, self.now, market)
        )
        assert isinstance(answer, Answer), answer
        self.accept(commands.ActivateMarket(market_id=self.market_id, actor_id=commands.SYSTEM_ID))
        self.compare()
        self.begin_batch()

    def step(self, command: Command, *, dry_run: bool = False) -> None:
        """One command on both sides; everything is compared afterwards."""
        before, hash_before = self.world, self.hash()
        translated = engine_command(command, self.market_id)
        self.world, expected = execute(before, self.market_id, self.now, command)
        foreseen = None
        if dry_run:
            foreseen = self.engine.dry_run(translated, now=self.now)
            same("state after a dry run", self.hash(), hash_before)
        answer = self.last = self.engine.apply(translated, now=self.now)
        if dry_run:
            self.hits["dry run"] += 1
            same("dry run", outcome_of(foreseen), outcome_of(answer))
        self.hits["commands"] += 1
        kind = type(command).__name__
        if isinstance(answer, Refusal):
            assert not isinstance(expected, Answer), f"only the engine refuses: {answer}"
            assert str(answer.code) in expected, f"engine {answer}, reference {sorted(expected)}"
            same("state after a refusal", self.hash(), hash_before)
            self.hits[f"refused {answer.code}"] += 1
            return
        assert isinstance(expected, Answer), f"only the reference refuses: {sorted(expected)}"
        self.hits[f"{kind} accepted"] += 1
        self.batch.append((translated, self.now))
        self.record(answer)
        self.compare()
        compare_effects(answer.effects, expected)
        self.judge(before, command, expected)
        self.count(before, command, expected)

    def compare(self) -> None:
        compare_world(self.engine.state, self.world)
        check_world(self.world)
        # Dust may stand beyond two lots; the reference, which counts dust, has judged I-10 already.
        dusty = self.world.markets[self.market_id].dust_legs > 0
        broken = [text for text in check(self.state) if not (dusty and text.startswith("I-10 the best bid"))]
        same("invariants", broken, [])

    def judge(self, before: World, command: Command, answer: Answer) -> None:
        """What holds from one state to the next: steps, best execution, price-time, no joint profit."""
        kind = type(command).__name__
        check_step(before, self.world, self.market_id, answer, kind == "Mint")
        if isinstance(command, Place):
            check_best_execution(before, self.now, command, answer)
            check_price_time(before, self.now, command, answer)
        if kind not in ("Grant", "Sweep", "Resolve", "CancelMarket"):
            gained = joint_value(self.world, self.market_id) - joint_value(before, self.market_id)
            assert gained <= before.markets[self.market_id].pending, f"I-8 jointly: {gained}"

    # -- batches, settlement, replay

    def begin_batch(self) -> None:
        self.batch = []
        self.mark = self.engine.mark()
        self.batch_hash = self.hash()

    def undo_and_redo_batch(self) -> None:
        """Undo every command since the last mark: the hash is as it was. Redo them: it is as it is now."""
        end = self.hash()
        self.engine.undo_to(self.mark)
        same("state after undoing a batch", self.hash(), self.batch_hash)
        self.mark = self.engine.mark()
        for command, now in self.batch:
            assert isinstance(self.engine.apply(command, now=now), Applied)
        same("state after redoing a batch", self.hash(), end)
        self.engine.committed()
        self.begin_batch()
        self.hits["batch undone"] += 1

    def settle(self, command: Command) -> None:
        """Decide the market on both sides, release and pay in small steps, and compare what everybody has."""
        assert isinstance(command, Resolve | CancelMarket)
        before = self.world
        self.world, expected = execute(before, self.market_id, self.now, command)
        answer = self.engine.apply(engine_command(command, self.market_id), now=self.now)
        if isinstance(answer, Refusal):
            assert not isinstance(expected, Answer), answer
            assert str(answer.code) in expected
            self.hits[f"refused {answer.code}"] += 1
            self.settle(CancelMarket(pro_rata=True))
            return
        assert isinstance(expected, Answer), expected
        self.hits[f"{type(command).__name__} accepted"] += 1
        self.hits["commands"] += 1
        self.record(answer)
        owed = self.state.market.owed > self.state.market.payable
        self.hits["pro rata"] += owed
        system = {"market_id": self.market_id, "actor_id": commands.SYSTEM_ID}
        while self.state.orders:
            self.accept(commands.ReleaseOrders(**system, limit=3))
        while not self.state.market.settled:
            self.accept(commands.PayHolders(**system, limit=2))
        same(
            "steps after the last",
            isinstance(
                self.engine.apply(commands.PayHolders(**system, limit=STEP_MAX), now=self.now), Refusal
            ),
            True,
        )
        self.compare()
        self.hits["settled"] += 1

    def replay(self) -> None:
        """The events alone, from zero, give the live state (I-14), each hashed over the one before (I-13)."""
        shard = ShardState()
        shard.markets[SYSTEM_STREAM] = system_stream(0)
        for payload in self.events:
            fold(shard, decode(payload))
        live = self.hash()
        replayed = (*(state_hash(state) for _, state in sorted(shard.markets.items())), accounts_hash(shard))
        same("state after replay", replayed, live)
        for earlier, later in pairwise(self.events):
            same("hash chain", decode(later).previous_hash, hash_of(earlier))
        self.hits["replayed"] += 1

    # -- what was reached

    def count(self, before: World, command: Command, answer: Answer) -> None:
        hits, old, new = self.hits, before.markets[self.market_id], self.world.markets[self.market_id]
        takers = [fill for fill in answer.fills if fill.liquidity == "TAKER"]
        for fill in takers:
            hits[f"trade {fill.kind}"] += 1
            hits["partly netted"] += 0 < fill.netted < fill.quantity
            hits["dust to the pool"] += fill.venue == "POOL" and fill.quantity < new.lot
        hits["maker netted"] += any(
            f.liquidity == "MAKER" and f.netted and f.side == "BUY" for f in answer.fills
        )
        for order in answer.touched.values():
            hits[f"status {order.status}"] += 1
            hits[f"order {order.time_in_force}"] += 1
            hits["cut back"] += order.reason == "POSITION_NETTED"
            hits["own maker cancelled"] += order is not answer.order and order.reason == "SELF_TRADE"
            hits["taker stopped by own maker"] += order is answer.order and order.reason == "SELF_TRADE"
        if answer.order is not None:
            hits["post-only rests"] += answer.order.post_only and answer.order.remaining > 0
        if isinstance(command, Amend) and answer.order is not None:
            hits["a decrease" if answer.order.priority_seq < new.seq else "a new place"] += 1
        if answer.fee:
            hits["injection"] += new.pending < old.pending + answer.fee // 2
            hits["treasury pairs merged"] += new.treasury_points > old.treasury_points
        venues = "".join(fill.venue[0] for fill in takers)
        hits["POOL BOOK POOL"] += "PBP" in venues


def outcome_of(answer: Applied | Refusal | None) -> object:
    if isinstance(answer, Applied):
        return answer.seq, answer.effects
    return answer
