"""The audit row of an administrator's command: who, what, why, and how it looked before and after."""

from __future__ import annotations

from typing import Any

import orjson

from db_service.store.writes import AuditRow
from engine.commands import GrantPoints
from engine.state import Market
from order_service.batch import Draft
from order_service.requests import Audit


def audit_row(draft: Draft, audit: Audit) -> AuditRow:
    """`before` and `after` hold what the command changed of its market (all of a new one), or of an account."""
    event = draft.done()
    before, after = _account(draft) if isinstance(event.command, GrantPoints) else _market(draft)
    return AuditRow(
        actor_id=event.command.actor_id,
        action=audit.action,
        target=audit.target or event.market_id,
        reason=audit.reason,
        trace_id=audit.trace_id,
        before=_json(before),
        after=_json(after),
    )


def _account(draft: Draft) -> tuple[dict[str, Any], dict[str, Any]]:
    (change,) = draft.done().effects.accounts
    after = change.available_after
    return {"available_micros": after - change.available_delta}, {"available_micros": after}


def _market(draft: Draft) -> tuple[dict[str, Any], dict[str, Any]]:
    after = dict(zip(Market.FIELDS, draft.market_after, strict=True))
    if draft.market_before is None:
        return {}, after
    before = dict(zip(Market.FIELDS, draft.market_before, strict=True))
    changed = [name for name in Market.FIELDS if before[name] != after[name] and name != "updated_at"]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}


def _json(facts: dict[str, Any]) -> str | None:
    return orjson.dumps(facts).decode() if facts else None
