"""The single writer of a shard: takes what waits, applies it, commits it, and only then answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from db_service.store import loading, writes
from db_service.store.writes import Balance, StoredKey
from engine.core import Engine
from engine.events import Event
from engine.state import ShardState
from order_service.batch import Applier, EventTooLarge, Key, Run, answer_of, payers_of
from order_service.failpoints import FailPoints
from order_service.metrics import (
    BATCH_ITEMS,
    BATCH_SECONDS,
    BATCHES_RERUN,
    CLOCK_OFFSET_SECONDS,
    EVENTS_WRITTEN,
    UNKNOWN_COMMITS,
)
from order_service.requests import Answer, Request
from order_service.seen_keys import SeenKeys
from order_service.writer import (
    STATEMENT_SECONDS,
    LostShard,
    MaybeSeen,
    TooManyRounds,
    UnknownCommit,
    Writer,
)
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from runtime.surprises import AWAY

log = get_logger(__name__)

T = TypeVar("T")

ATTEMPTS_MAX = 5
FENCE_WAIT_SECONDS = 0.2
CLOCK_ALERT_SECONDS = 2.0
TRANSIENT = (
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    TooManyRounds,
    writes.GrantedMeanwhile,
)


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """How much waits, and how much is one batch."""

    inbox_max: int = 5_000
    batch_max: int = 500
    renew_seconds: float = 1.0


class Shard:
    """Owned from the moment its epoch is committed until the guard says otherwise."""

    def __init__(
        self,
        *,
        engine: Engine,
        writer: Writer,
        seen: SeenKeys,
        limits: ShardLimits,
        clock: Clock,
        fail_points: FailPoints,
        on_committed: Callable[[int, Sequence[Event]], None],
        last_trade_seq: dict[str, int],
    ) -> None:
        self.last_trade_seq = last_trade_seq
        self.engine = engine
        self.writer = writer
        self.seen = seen
        self._limits = limits
        self._clock = clock
        self._fail_points = fail_points
        self._on_committed = on_committed
        self._applier = Applier(engine, writer.hold.shard_id)
        self._inbox: asyncio.Queue[Request] = asyncio.Queue(limits.inbox_max)
        self._stopping = False
        self._clock_offset_micros = 0

    @property
    def shard_id(self) -> int:
        return self.writer.hold.shard_id

    @property
    def state(self) -> ShardState:
        return self.engine.state

    @property
    def waiting(self) -> int:
        return self._inbox.qsize()

    def postgres_now(self) -> int:
        """About what PostgreSQL's clock shows; good enough to decide when a job looks."""
        return self._clock.now_micros() - self._clock_offset_micros

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """Put it in the inbox. Raises OVERLOADED at once when that is full."""
        self._fail_points.reach("received")
        if self._stopping:
            raise ApiError(ErrorCode.UNAVAILABLE, "the service is stopping")
        try:
            self._inbox.put_nowait(request)
        except asyncio.QueueFull:
            raise ApiError(ErrorCode.OVERLOADED) from None
        return request.answer

    async def run(self) -> None:
        """Serve until stopped (returns) or until the shard is lost (raises LostShard)."""
        try:
            while not (self._stopping and self._inbox.empty()):
                await self._serve(await self._take())
        finally:
            self._stopping = True
            self._refuse_waiting()
            await self.writer.close()

    def stop(self) -> None:
        """Take no more; what waits is still served."""
        self._stopping = True

    async def _take(self) -> list[Request]:
        """What waits, up to the maximum; empty when nothing came for a while (then the lease is renewed)."""
        try:
            async with asyncio.timeout(self._limits.renew_seconds if not self._stopping else 0.01):
                batch = [await self._inbox.get()]
        except TimeoutError:
            return []
        while len(batch) < self._limits.batch_max and not self._inbox.empty():
            batch.append(self._inbox.get_nowait())
        return batch

    async def _serve(self, requests: list[Request]) -> None:
        started = self._clock.monotonic_seconds()
        if requests:
            BATCH_ITEMS.observe(len(requests))
            self._fail_points.reach("validated")
        try:
            await self._process(requests)
        except BaseException:  # nobody waits for an answer that cannot come
            self._fail(requests, ApiError(ErrorCode.UNAVAILABLE))
            raise
        if requests:
            BATCH_SECONDS.observe(self._clock.monotonic_seconds() - started)

    async def _process(self, requests: Sequence[Request]) -> None:
        """Answer all of them, whatever happens, unless the shard is lost; in as many parts as their work asks for."""
        while True:
            requests = requests[await self._process_some(requests) :]
            if not requests:
                return

    async def _process_some(self, requests: Sequence[Request]) -> int:
        """How many, the first ones, were answered: in one transaction, or refused together."""
        ask_all = False
        for attempt in range(ATTEMPTS_MAX):
            mark = self.engine.mark()
            try:
                run = await self._attempt(requests, mark, ask_all)
            except LostShard:
                self._undo(mark)
                self._fail(requests, ApiError(ErrorCode.NOT_SHARD_OWNER))
                raise
            except MaybeSeen:
                self._undo(mark)
                BATCHES_RERUN.labels("key").inc()
                ask_all = True
            except UnknownCommit as unknown:
                return await self._resolve(requests, mark, unknown)
            except TRANSIENT as error:
                self._undo(mark)
                log.warning("a batch is run again", error=type(error).__name__)
                BATCHES_RERUN.labels("lock").inc()
                await asyncio.sleep(0.01 * attempt)
            except AWAY as error:
                self._undo(mark)
                self.writer.drop_connection()
                log.warning("a batch could not be written", error=type(error).__name__)
                self._fail(requests, ApiError(ErrorCode.UNAVAILABLE))
                await asyncio.sleep(0.05)
                return len(requests)
            except (asyncpg.PostgresError, EventTooLarge, AssertionError) as error:
                self._undo(mark)
                await self._isolate(requests, error)
                return len(requests)
            else:
                self._finish(run)
                return len(run.requests)
        self._fail(requests, ApiError(ErrorCode.UNAVAILABLE, "the accounts involved were busy"))
        return len(requests)

    async def _attempt(self, requests: Sequence[Request], mark: int, ask_all: bool) -> Run:
        connection = await self.writer.connection()
        asked = self._keys_to_ask(requests, ask_all)
        known = await self._look_up(asked)
        payers = payers_of(requests)
        moment = await writes.read_moment(connection, payers, timeout=STATEMENT_SECONDS)
        self._watch_clock(moment.now_micros)
        time = max(self.writer.hold.last_event_time, moment.now_micros)
        balances = {user: moment.balances.get(user, Balance()) for user in payers}

        def apply(balances: Mapping[str, Balance]) -> Run:
            return self._applier.run(requests, known, balances, moment.granted_micros, time)

        run = apply(balances)
        while (
            unsure := run.refused_keys() - asked
        ):  # a key that had its effect gets its answer, not a refusal
            asked |= unsure
            found = await self._look_up(unsure)
            if found:
                known.update(found)
                self._undo(mark)
                run = apply(balances)
        if run.drafts:
            self._fail_points.reach("applied")

        def again(locked: Mapping[str, Balance]) -> Run:
            self._undo(mark)
            run = apply(locked)
            if run.refused_keys() - asked:
                raise MaybeSeen
            return run

        if run.drafts:
            run = await self.writer.write(run, self._applier, payers, again)
        else:
            await self.writer.check_epoch()
        return run

    def _keys_to_ask(self, requests: Sequence[Request], ask_all: bool) -> set[Key]:
        """All keys, or those that this process may have written or loaded."""
        return {
            (request.key_owner, key)
            for request in requests
            for key in request.keys
            if ask_all or self.seen.may_hold(request.key_owner, key)
        }

    async def _look_up(self, keys: Collection[Key]) -> dict[Key, StoredKey]:
        if not keys:
            return {}
        connection = await self.writer.connection()
        return await writes.look_up_keys(connection, list(keys), timeout=STATEMENT_SECONDS)

    def _watch_clock(self, postgres_now: int) -> None:
        self._clock_offset_micros = self._clock.now_micros() - postgres_now
        offset_seconds = self._clock_offset_micros / 1_000_000
        CLOCK_OFFSET_SECONDS.set(offset_seconds)
        if abs(offset_seconds) > CLOCK_ALERT_SECONDS:
            log.error("this machine's clock is off", offset_seconds=offset_seconds)

    def _undo(self, mark: int) -> None:
        self.engine.undo_to(mark)

    def _finish(self, run: Run) -> None:
        """Durable: make it final, tell everybody, hand the events on."""
        if run.drafts:
            self._applier.make_final(run)
            for key, _, _ in run.keys:
                self.seen.add(*key)
            EVENTS_WRITTEN.inc(len(run.drafts))
            self._remember_trades(run)
        for request, prepared in zip(run.requests, run.prepared, strict=True):
            _tell(request, answer_of(prepared))
        if run.drafts:
            self._fail_points.reach("replied")
            first_commit_seq = self.writer.hold.commit_seq - len(run.drafts) + 1
            self._on_committed(first_commit_seq, [draft.done() for draft in run.drafts])

    def _remember_trades(self, run: Run) -> None:
        for draft in run.drafts:
            if draft.applied.effects.trades:
                self.last_trade_seq[draft.applied.command.market_id] = draft.applied.seq

    async def _isolate(self, requests: Sequence[Request], error: BaseException) -> None:
        """Something definite in this batch cannot be written: halve it until the culprit is alone."""
        if len(requests) <= 1:  # none: not even the lease could be renewed
            log.error("a command could not be written", exc_info=error)
            self._fail(requests, ApiError(ErrorCode.INTERNAL, "internal error"))
            return
        BATCHES_RERUN.labels("isolate").inc()
        middle = len(requests) // 2
        await self._process(requests[:middle])
        await self._process(requests[middle:])

    async def _resolve(self, requests: Sequence[Request], mark: int, unknown: UnknownCommit) -> int:
        """Fence ourselves first; then commit_seq says what happened, and the touched markets are loaded anew.

        Returns how many requests were answered.
        """
        UNKNOWN_COMMITS.inc()
        run = unknown.run
        touched = run.markets()
        try:
            final = await self._until_answered(self.writer.fence)
        except LostShard:
            self._undo(mark)
            self._fail(
                requests,
                ApiError(ErrorCode.UNAVAILABLE, "the outcome is not known; repeat with the same key"),
            )
            raise
        committed = final == unknown.new_commit_seq
        log.warning("an unknown commit was resolved", committed=committed, commit_seq=final)
        self._undo(mark)
        self.engine.committed()
        await self._until_answered(lambda: self._reload(touched))
        if not committed:
            self._fail(requests, ApiError(ErrorCode.UNAVAILABLE, "nothing was done; try again"))
            return len(requests)
        self.writer.hold.last_event_time = max(self.writer.hold.last_event_time, run.time)
        self._remember_trades(run)
        for key, _, _ in run.keys:
            self.seen.add(*key)
        for request, prepared in zip(run.requests, run.prepared, strict=True):
            _tell(request, answer_of(prepared))
        self._on_committed(final, ())
        return len(run.requests)

    async def _reload(self, market_ids: set[str]) -> None:
        connection = await self.writer.connection()
        for market_id in market_ids:
            market = await loading.load_market(connection, market_id)
            if market is None:
                self.state.markets.pop(market_id, None)
            else:
                self.state.markets[market_id] = market

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """PostgreSQL may be away: without an answer the shard can do nothing else."""
        while True:
            try:
                return await ask()
            except AWAY as error:
                log.warning("waiting to resolve a commit", error=type(error).__name__)
                self.writer.drop_connection()
                await asyncio.sleep(FENCE_WAIT_SECONDS)

    def _fail(self, requests: Sequence[Request], error: Exception) -> None:
        for request in requests:
            _tell(request, error)

    def _refuse_waiting(self) -> None:
        while not self._inbox.empty():
            _tell(self._inbox.get_nowait(), ApiError(ErrorCode.NOT_SHARD_OWNER))


def _tell(request: Request, answer: Answer | Exception) -> None:
    """A caller that went away hears nothing and stops nothing."""
    if request.answer.done():
        return
    if isinstance(answer, Exception):
        request.answer.set_exception(answer)
        request.answer.exception()  # read once: nobody may be left to ask
    else:
        request.answer.set_result(answer)
