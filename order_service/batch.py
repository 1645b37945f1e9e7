"""One batch in memory: commands applied in order by the engine, with what each will be answered once it is durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from db_service.store.writes import Balance, KeyRow, StoredKey
from engine.commands import SYSTEM_ID, AnyCommand, PauseMarket
from engine.core import Applied, Engine, payers
from engine.events import EVENT_BYTES_MAX, AccountChange, Event, decode, encode, hash_of
from engine.refusals import Code, InvariantBroken, Refusal
from order_service.requests import Answer, Audit, Before, Done, KeyReused, Request, Seen
from runtime.logs import get_logger

log = get_logger(__name__)

Key = tuple[str, str]
"""(user id, idempotency key)."""


STEPS_MAX = 20_000
"""Changes one batch makes at most, before the rest of its requests waits for the next one. Some 2,000 ordinary orders,
or three that sweep a thousand makers: whoever else waits is not kept waiting by what one caller sent together."""


class EventTooLarge(Exception):
    """A defect: the bounds of the commands should make this impossible."""


@dataclass(slots=True, eq=False)
class Draft:
    """An accepted command on its way to becoming an event."""

    applied: Applied
    audit: Audit | None
    market_before: tuple[Any, ...] | None = None
    market_after: tuple[Any, ...] = ()
    """The market's fields (`Market.FIELDS`) around an audited command; None before: it was not there."""
    event: Event | None = None
    payload: bytes = b""
    hash: str = ""

    def done(self) -> Event:
        assert self.event is not None
        return self.event


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer of a draft, made when it has become an event."""

    draft: Draft
    replayed: bool
    context: object


Prepared = Answer | Accepted | Exception


@dataclass(slots=True)
class Run:
    """What one pass over the first of the requests did; `requests` are those it came to.

    `assumed`: the payers' balances it was computed from.
    """

    time: int
    assumed: Mapping[str, Balance]
    requests: Sequence[Request]
    prepared: list[Prepared] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    keys: list[tuple[Key, Request, Draft]] = field(default_factory=list)

    def users(self) -> set[str]:
        """Everybody whose account the drafts change, and who asked."""
        users = {user for draft in self.drafts for user in draft.applied.effects.users}
        users.update(draft.applied.command.actor_id for draft in self.drafts)
        users.update(key[0] for key, _, _ in self.keys)
        users.discard(SYSTEM_ID)
        return users

    def refused_keys(self) -> set[Key]:
        """The keys of what was refused: each may have had its effect before, through another process."""
        return {
            (request.key_owner, key)
            for request, prepared in zip(self.requests, self.prepared, strict=True)
            if isinstance(prepared, Refusal)
            for key in request.keys
        }

    def markets(self) -> set[str]:
        return {draft.applied.command.market_id for draft in self.drafts}

    def key_rows(self) -> list[KeyRow]:
        """In (user, key) order, so that two writers never wait for each other in a circle."""
        rows = [
            KeyRow(
                user_id=key[0],
                key=key[1],
                operation=draft.done().kind,
                request_hash=request.request_hash,
                market_id=draft.done().market_id,
                seq=draft.done().seq,
            )
            for key, request, draft in self.keys
        ]
        return sorted(rows, key=lambda row: (row.user_id, row.key))


class Applier:
    """Applies requests to the live state; the caller undoes all of it or calls it final."""

    def __init__(self, engine: Engine, shard_id: int) -> None:
        self._engine = engine
        self._state = engine.state
        self._shard_id = shard_id

    def run(
        self,
        requests: Sequence[Request],
        known: Mapping[Key, StoredKey],
        balances: Mapping[str, Balance],
        granted_micros: int,
        time: int,
    ) -> Run:
        """Requests in order, all or as many as make `STEPS_MAX` changes.

        `balances` has every payer, absent ones own nothing.
        """
        self._state.accounts.clear()
        self._state.granted_micros = granted_micros
        for user_id, balance in balances.items():
            account = self._state.account(user_id)
            account.available, account.locked = balance.available, balance.locked
        run = Run(time, balances, requests)
        within: dict[Key, tuple[str, Draft]] = {}
        last_step = self._state.journal.steps + STEPS_MAX
        for request in requests:
            run.prepared.append(self._one(run, request, known, within))
            if self._state.journal.steps > last_step:
                break
        run.requests = requests[: len(run.prepared)]
        return run

    def _one(
        self,
        run: Run,
        request: Request,
        known: Mapping[Key, StoredKey],
        within: dict[Key, tuple[str, Draft]],
    ) -> Prepared:
        mark = self._engine.mark()
        try:
            if request.command is None:
                assert request.look is not None
                return Seen(request.look(self._state))
            return self._replayed(request, known, within) or self._apply(run, request, within)
        except InvariantBroken:
            self._engine.undo_to(mark)
            return self._fail_closed(run, request)
        except Exception as error:  # a defect: this request alone fails, and leaves no trace
            self._engine.undo_to(mark)
            log.error("a request failed", exc_info=error)
            return error

    def _replayed(
        self, request: Request, known: Mapping[Key, StoredKey], within: Mapping[Key, tuple[str, Draft]]
    ) -> Prepared | None:
        """The first answer, asked for before anything else; None: every key is new."""
        for name in request.keys:
            key = (request.key_owner, name)
            if key in within:
                first_hash, draft = within[key]
                if first_hash != request.request_hash:
                    return KeyReused(name)
                return Accepted(draft, True, self._look(request))
            stored = known.get(key)
            if stored is not None:
                if stored.request_hash != request.request_hash:
                    return KeyReused(name)
                return Done(decode(stored.payload), True, False, self._look(request))
        return None

    def _look(self, request: Request) -> object:
        if request.look is None:
            return None
        seen = request.look(self._state)
        return Before(seen, seen)

    def _apply(self, run: Run, request: Request, within: dict[Key, tuple[str, Draft]]) -> Prepared:
        command = request.command
        assert command is not None
        before = request.look(self._state) if request.look else None
        if request.dry_run:
            tried = self._engine.dry_run(command, now=run.time)
            if isinstance(tried, Refusal):
                return tried
            return Done(self._event(tried, 0, ""), False, True, Before(before, before))
        market_before = self._market_values(command) if request.audit else None
        applied = self._engine.apply(command, now=run.time)
        if isinstance(applied, Refusal):
            return applied
        after = request.look(self._state) if request.look else None
        draft = Draft(applied, request.audit)
        if request.audit:
            draft.market_before, draft.market_after = market_before, self._market_values(command) or ()
        run.drafts.append(draft)  # from here on nothing may fail: what is in the list is written
        for name in request.keys:
            within[(request.key_owner, name)] = (request.request_hash, draft)
            run.keys.append(((request.key_owner, name), request, draft))
        return Accepted(draft, False, Before(before, after))

    def _market_values(self, command: AnyCommand) -> tuple[Any, ...] | None:
        state = self._state.markets.get(command.market_id)
        return state.market.read() if state else None

    def _fail_closed(self, run: Run, request: Request) -> Refusal:
        """The pool's product would have fallen: refuse, and pause the market until somebody looked."""
        assert request.command is not None
        market_id = request.command.market_id
        log.error("an invariant broke; the market is paused", market_id=market_id)
        pause = PauseMarket(market_id=market_id, actor_id=SYSTEM_ID, reason="INVARIANT_BROKEN")
        applied = self._engine.apply(pause, now=run.time)
        if not isinstance(applied, Refusal):
            run.drafts.append(Draft(applied, None))
        return Refusal(Code.MARKET_NOT_ACTIVE, "the market was paused for safety", {"market_id": market_id})

    def finalise(self, run: Run, locked: Mapping[str, Balance], epoch: int) -> None:
        """Fill in what only the locked rows know, in event order, and chain the hashes."""
        running = {user: [row.available, row.locked, row.user_seq] for user, row in locked.items()}
        heads: dict[str, str] = {}
        for draft in run.drafts:
            effects = draft.applied.effects
            for index, change in enumerate(effects.accounts):
                sums = running.setdefault(effects.users[change.user], [0, 0, 0])
                sums[0] += change.available_delta
                sums[1] += change.locked_delta
                sums[2] += change.frames
                effects.accounts[index] = _with_after(change, sums)
            market_id = draft.applied.command.market_id
            head = heads.get(market_id)
            if head is None:
                head = self._state.markets[market_id].market.last_hash
            draft.event = self._event(draft.applied, epoch, head)
            draft.payload = encode(draft.event)
            if len(draft.payload) > EVENT_BYTES_MAX:
                raise EventTooLarge(f"{draft.event.kind}: {len(draft.payload)} bytes")
            draft.hash = heads[market_id] = hash_of(draft.payload)

    def _event(self, applied: Applied, epoch: int, previous_hash: str) -> Event:
        return Event(
            market_id=applied.command.market_id,
            seq=applied.seq,
            shard=self._shard_id,
            epoch=epoch,
            time=applied.time,
            command=applied.command,
            effects=applied.effects,
            previous_hash=previous_hash,
        )

    def make_final(self, run: Run) -> None:
        """The run is durable."""
        for draft in run.drafts:
            self._state.markets[draft.applied.command.market_id].market.last_hash = draft.hash
        self._engine.committed()


def payers_of(requests: Sequence[Request]) -> set[str]:
    """Whose balances must be known before the requests are applied."""
    users: set[str] = set()
    for request in requests:
        if request.command is not None:
            users |= payers(request.command)
    return users


def answer_of(prepared: Prepared) -> Answer | Exception:
    """What the caller is told, once the run is durable."""
    if isinstance(prepared, Accepted):
        return Done(prepared.draft.done(), prepared.replayed, False, prepared.context)
    return prepared


def _with_after(change: AccountChange, sums: Sequence[int]) -> AccountChange:
    return structs.replace(change, available_after=sums[0], locked_after=sums[1], user_seq=sums[2])
