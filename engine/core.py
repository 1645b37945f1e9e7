"""The engine: applies one command after another to a shard's state, purely.

A refusal is a value and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine import commands as c
from engine import lifecycle, settlement, trading
from engine.draft import effects_of
from engine.events import EVENT_BYTES_MAX, Effects, may_be_large, size_at_most
from engine.guards import points_are_there, refuse_if
from engine.refusals import Code, InvariantBroken, Refusal, Refused
from engine.run import Run
from engine.state import Market, MarketState, MarketStatus, ShardState
from engine.units import AMOUNT_MAX_MICROS, GRANTED_MAX_MICROS, MICROS


@dataclass(frozen=True, slots=True)
class Applied:
    """An accepted command: its number in the market, its time, and what it did."""

    command: c.AnyCommand
    seq: int
    time: int
    effects: Effects


class Engine:
    """The single writer's view of a shard. Commands are applied in order and stay undoable until `committed`."""

    def __init__(self, state: ShardState) -> None:
        self.state = state

    def apply(self, command: c.AnyCommand, *, now: int) -> Applied | Refusal:
        """Apply one command at `now` (microseconds since the epoch)."""
        mark = self.state.journal.begin()
        try:
            return self._apply_within_size(command, now, mark)
        except Refused as refused:
            self.state.journal.rollback(mark)
            return refused.refusal
        except BaseException:
            self.state.journal.rollback(mark)
            raise

    def dry_run(self, command: c.AnyCommand, *, now: int) -> Applied | Refusal:
        """The very command, then undone: what `apply` would answer now."""
        mark = self.state.journal.begin()
        answer = self.apply(command, now=now)
        self.state.journal.rollback(mark)
        return answer

    def mark(self) -> int:
        """Where a batch begins; `undo_to` takes back everything since."""
        return self.state.journal.begin()

    def undo_to(self, mark: int) -> None:
        self.state.journal.rollback(mark)

    def committed(self) -> None:
        """What was applied is durable; it can no longer be undone."""
        self.state.journal.forget()

    def _apply_within_size(self, command: c.AnyCommand, now: int, mark: int) -> Applied:
        """Apply; should its event grow too large, undo and apply with a smaller share of the bounds on its rows."""
        share_micros = MICROS
        applied = self._apply(command, now, share_micros)
        while may_be_large(applied.effects):
            size = size_at_most(command, applied.effects)
            if size <= EVENT_BYTES_MAX:
                break
            self.state.journal.rollback(mark)
            assert share_micros > MICROS // 100, "fewer rows make a smaller event"
            share_micros = share_micros * EVENT_BYTES_MAX * 98 // (size * 100)
            applied = self._apply(command, now, share_micros)
        return applied

    def _apply(self, command: c.AnyCommand, now: int, share_micros: int) -> Applied:
        run = self._start(command, now)
        run.share_micros = share_micros
        _HANDLERS[type(command)](run, command)
        market = run.market
        self.state.journal.on_undo(setattr, market, "seq", market.seq)
        effects = effects_of(run)
        market.seq = run.seq
        return Applied(command, run.seq, now, effects)

    def _start(self, command: c.AnyCommand, now: int) -> Run:
        markets = self.state.markets
        if isinstance(command, c.CreateMarket):
            return self._create(command, now)
        market_state = markets.get(command.market_id)
        if market_state is None or _is_hidden(market_state.market, command):
            raise Refused(
                Code.MARKET_NOT_FOUND, "There is no such market, or it is not open to the public yet."
            )
        return Run(self.state, market_state, now)

    def _create(self, command: c.CreateMarket, now: int) -> Run:
        markets, journal = self.state.markets, self.state.journal
        refuse_if(command.market_id in markets, Code.INVALID_ARGUMENT, "This market exists.")
        market = lifecycle.new_market(command, now)
        markets[command.market_id] = market_state = MarketState(market)
        journal.created(market)
        journal.on_undo(markets.pop, command.market_id)
        return Run(self.state, market_state, now)


def payers(command: c.AnyCommand) -> set[str]:
    """Users whose true balance must be in `state.accounts` before the command is applied."""
    if isinstance(command, c.PlaceOrder | c.AmendOrder | c.MintSets):
        return {command.actor_id}
    if isinstance(command, c.ActivateMarket | c.CancelMarket):
        return {c.TREASURY_ID}
    if isinstance(command, c.GrantPoints):
        return {command.user_id}
    return set()


def system_stream(shard: int) -> MarketState:
    """The stream of a shard's grants: a market in name only, which just counts events."""
    values: dict[str, Any] = dict.fromkeys(Market.FIELDS, 0)
    values |= dict.fromkeys(("question", "description", "rules", "resolution_source", "category"), "")
    values |= {
        "reason": "",
        "outcome": "",
        "status": MarketStatus.ACTIVE,
        "tick_micros": 10_000,
        "settled": False,
    }
    market_id = c.system_stream_id(shard)
    return MarketState(Market(market_id, c.SYSTEM_ID, 0, tuple(values[name] for name in Market.FIELDS)))


def is_system_stream(market_id: str) -> bool:
    """Whether this id is reserved for the grants of a shard."""
    return market_id.startswith(_SYSTEM_STREAMS)


def _is_hidden(market: Market, command: c.AnyCommand) -> bool:
    """A DRAFT, and one that was withdrawn, is not there for traders; a system stream takes grants only."""
    if is_system_stream(market.market_id) != isinstance(command, c.GrantPoints):
        return True
    drafted = market.status is MarketStatus.DRAFT or (
        market.status is MarketStatus.CANCELLED and market.reason == "DELETED"
    )
    return drafted and isinstance(command, _TRADERS)


def _grant(run: Run, command: c.GrantPoints) -> None:
    amount = command.amount_micros
    refuse_if(
        amount == 0 or abs(amount) > AMOUNT_MAX_MICROS,
        Code.INVALID_ARGUMENT,
        f"A grant is 1..{AMOUNT_MAX_MICROS} micros, or taken back.",
        field="amount_micros",
    )
    state = run.state
    refuse_if(
        state.granted_micros + amount > GRANTED_MAX_MICROS,
        Code.GRANTS_EXHAUSTED,
        "All grants together would exceed what can be counted exactly; take points back first.",
        left_micros=GRANTED_MAX_MICROS - state.granted_micros,
    )
    if amount < 0:
        points_are_there(run, command.user_id, -amount)
    run.journal.on_undo(setattr, state, "granted_micros", state.granted_micros)
    state.granted_micros += amount
    run.account(command.user_id).available += amount


def _created(run: Run, command: c.CreateMarket) -> None:
    """The market is there already; nothing more happens to a DRAFT."""


_SYSTEM_STREAMS: Final = c.system_stream_id(0)[:24]
"""What the ids of all system streams begin with."""

_TRADERS: Final = (
    c.PlaceOrder,
    c.AmendOrder,
    c.CancelOrder,
    c.CancelAllOrders,
    c.MintSets,
    c.MergeSets,
)

_HANDLERS: Final[dict[type[Any], Callable[[Run, Any], None]]] = {
    c.PlaceOrder: trading.place,
    c.AmendOrder: trading.amend,
    c.CancelOrder: trading.cancel,
    c.CancelAllOrders: trading.cancel_all,
    c.MintSets: trading.mint,
    c.MergeSets: trading.merge,
    c.CreateMarket: _created,
    c.EditMarket: lifecycle.edit,
    c.DeleteMarket: lifecycle.delete,
    c.ActivateMarket: lifecycle.activate,
    c.PauseMarket: lifecycle.pause,
    c.ResumeMarket: lifecycle.resume,
    c.SweepMarket: lifecycle.sweep,
    c.ResolveMarket: settlement.resolve,
    c.CancelMarket: settlement.cancel_market,
    c.ExpireOrders: settlement.expire,
    c.ReleaseOrders: settlement.release,
    c.PayHolders: settlement.pay_holders,
    c.GrantPoints: _grant,
}

__all__ = ["Applied", "Engine", "InvariantBroken", "is_system_stream", "payers", "system_stream"]
