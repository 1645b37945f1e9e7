"""One batch, one transaction: guard, account locks, rows, commit; and what to do when the reply of a COMMIT is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import asyncpg

from db_service.store import writes
from db_service.store.writes import Balance
from order_service.audit import audit_row
from order_service.batch import Applier, Run
from order_service.failpoints import FailPoints
from order_service.metrics import BATCHES_RERUN
from runtime.logs import get_logger
from runtime.postgres import Connection, connect
from runtime.surprises import AWAY

log = get_logger(__name__)

STATEMENT_SECONDS = 5.0
COMMIT_PATIENCE_SECONDS = 3.0
"""After this a silent COMMIT counts as unknown; it is not cancelled, its outcome is decided by the fence."""
NO_TIMEOUT_SECONDS = 10.0 * 365 * 86_400
LOCK_ROUNDS = 5
NO_ANSWER: tuple[type[BaseException], ...] = (asyncpg.PostgresError, *AWAY)
WRITER_SESSION = {
    "idle_in_transaction_session_timeout": "1000",
    "lock_timeout": "1000",
    # A few statements, always the same; without this PostgreSQL plans most of them anew for every batch.
    "plan_cache_mode": "force_generic_plan",
    # Every row is found by its key: a plan made while a table was small must not read all of it when it has grown.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class LostShard(Exception):
    """The guard did not hold: another process owns the shard. Nothing was written."""


class UnknownCommit(Exception):
    """The transaction may or may not have been committed. `new_commit_seq` says which, after fencing."""

    def __init__(self, run: Run, new_commit_seq: int) -> None:
        super().__init__("the reply of a COMMIT was lost")
        self.run = run
        self.new_commit_seq = new_commit_seq


class MaybeSeen(Exception):
    """Another writer stored one of the keys first: look the keys up and run again."""


class TooManyRounds(Exception):
    """The accounts to lock kept changing."""


@dataclass(slots=True)
class Ownership:
    """This process' hold on a shard. Changed only by the writer, after what it says is true."""

    shard_id: int
    epoch: int
    commit_seq: int
    last_event_time: int


class Writer:
    """The one connection a shard writes through; opened again after every doubt."""

    def __init__(
        self, *, url: str, name: str, lease_seconds: float, hold: Ownership, fail_points: FailPoints
    ) -> None:
        self._url = url
        self._name = name
        self._lease_seconds = lease_seconds
        self._fail_points = fail_points
        self._connection: Connection | None = None
        self._renewed_at = float("-inf")
        self.hold = hold

    async def connection(self) -> Connection:
        """An open connection outside any transaction. Raises at once when the server is away."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._url,
                name=self._name,
                command_timeout_seconds=NO_TIMEOUT_SECONDS,
                server_settings=WRITER_SESSION,
                wait=False,
            )
        return self._connection

    def drop_connection(self) -> None:
        """Never use this connection again."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=1.0)

    async def check_epoch(self) -> None:
        """For a batch with nothing to write: still the owner? Also renews the lease when it is time."""
        connection = await self.connection()
        shard_id, epoch = self.hold.shard_id, self.hold.epoch
        now = time.monotonic()
        if now - self._renewed_at < self._lease_seconds / 5:
            held = await writes.holds_epoch(connection, shard_id, epoch, timeout=STATEMENT_SECONDS)
        else:
            held = await writes.renew_lease(
                connection, shard_id, epoch, self._lease_seconds, timeout=STATEMENT_SECONDS
            )
            self._renewed_at = now
        if not held:
            raise LostShard

    async def write(
        self, run: Run, applier: Applier, lock: set[str], again: Callable[[Mapping[str, Balance]], Run]
    ) -> Run:
        """Commit the run, or the run it had to become on the locked balances; returns that.

        `lock`: everybody's accounts to lock, payers included. Raises what the module declares, or asyncpg's errors for
        a definite failure (then the transaction is rolled back; undoing the engine is the caller's).
        """
        connection = await self.connection()
        lock = lock | run.users()
        for _ in range(LOCK_ROUNDS):
            await connection.execute("BEGIN", timeout=STATEMENT_SECONDS)
            self._fail_points.reach("begin")
            try:
                await self._guard(connection, run)
                locked = await writes.lock_accounts(connection, lock, timeout=STATEMENT_SECONDS)
                if _is_short(run, locked):
                    BATCHES_RERUN.labels("balance").inc()
                    run = again({user: locked.get(user, Balance()) for user in run.assumed})
                    if not run.drafts or not run.users() <= lock:
                        await connection.execute("ROLLBACK", timeout=STATEMENT_SECONDS)
                        if not run.drafts:
                            return run
                        lock |= run.users()
                        continue
                    await self._guard_again(connection, run)
                applier.finalise(run, locked, self.hold.epoch)
                await self._write_rows(connection, run)
            except BaseException:
                await self._roll_back(connection)
                raise
            await self._commit(connection, run)
            return run
        raise TooManyRounds

    async def _guard(self, connection: Connection, run: Run) -> None:
        held = await writes.guard(
            connection,
            shard_id=self.hold.shard_id,
            epoch=self.hold.epoch,
            expected=self.hold.commit_seq,
            new=self.hold.commit_seq + len(run.drafts),
            last_event_time=run.time,
            lease_seconds=self._lease_seconds,
            timeout=STATEMENT_SECONDS,
        )
        if not held:
            raise LostShard

    async def _guard_again(self, connection: Connection, run: Run) -> None:
        """The row is ours until the end of the transaction; only how many events there are changed."""
        new = self.hold.commit_seq + len(run.drafts)
        await writes.move_guard(
            connection, self.hold.shard_id, self.hold.epoch, new, timeout=STATEMENT_SECONDS
        )

    async def _write_rows(self, connection: Connection, run: Run) -> None:
        stored = [
            writes.StoredEvent(
                draft.done(), self.hold.commit_seq + 1 + index, draft.payload.decode(), draft.hash
            )
            for index, draft in enumerate(run.drafts)
        ]
        audits = [audit_row(draft, draft.audit) for draft in run.drafts if draft.audit is not None]
        keys = run.key_rows()
        if await writes.write_batch(connection, stored, keys, audits, timeout=STATEMENT_SECONDS) < len(keys):
            raise MaybeSeen
        self._fail_points.reach("rows_written")

    async def _commit(self, connection: Connection, run: Run) -> None:
        """In a task of its own, without a time limit: nobody who goes away can cancel it."""
        new = self.hold.commit_seq + len(run.drafts)
        task = asyncio.ensure_future(connection.execute("COMMIT"))
        await asyncio.sleep(0)
        self._fail_points.reach("commit_sent")
        done, _ = await asyncio.wait({task}, timeout=COMMIT_PATIENCE_SECONDS)
        if not done:
            task.add_done_callback(_forget)
            self.drop_connection()
            raise UnknownCommit(run, new)
        error = task.exception()
        if error is not None:
            if (
                isinstance(error, asyncpg.PostgresError)
                and not connection.is_closed()
                and _is_definite(error)
            ):
                await self._roll_back(connection)
                raise error
            log.warning("the reply of a COMMIT was lost", error=type(error).__name__)
            self.drop_connection()
            raise UnknownCommit(run, new) from error
        if task.result() != "COMMIT":  # the server answered ROLLBACK: definitely nothing
            raise asyncpg.InFailedSQLTransactionError("the transaction was rolled back")
        self._fail_points.reach("committed")
        self.hold.commit_seq = new
        self.hold.last_event_time = run.time

    async def _roll_back(self, connection: Connection) -> None:
        """Before COMMIT was sent: whatever happens to the connection, nothing will be written."""
        try:
            await connection.execute("ROLLBACK", timeout=1.0)
        except NO_ANSWER:
            self.drop_connection()

    async def fence(self) -> int:
        """Raise the epoch on a new connection; then commit_seq is final, and returned. Raises LostShard."""
        self.drop_connection()
        connection = await self.connection()
        fenced = await writes.fence(
            connection, self.hold.shard_id, self.hold.epoch, self._lease_seconds, timeout=STATEMENT_SECONDS
        )
        if fenced is None:
            raise LostShard
        self.hold.epoch = fenced.epoch
        self.hold.commit_seq = fenced.commit_seq
        self.hold.last_event_time = max(self.hold.last_event_time, fenced.last_event_time)
        return fenced.commit_seq


def _is_short(run: Run, locked: Mapping[str, Balance]) -> bool:
    """Whether a payer has less than was assumed: other shards spend too."""
    nothing = Balance()
    return any(
        locked.get(user, nothing).available < balance.available for user, balance in run.assumed.items()
    )


def _is_definite(error: asyncpg.PostgresError) -> bool:
    """Integrity and data errors are answers about this transaction; shutdowns and lost connections are not."""
    state = str(getattr(error, "sqlstate", "") or "")
    return state[:2] in {"22", "23", "25", "40", "42"}


def _forget(task: asyncio.Future[str]) -> None:
    if not task.cancelled():
        task.exception()
