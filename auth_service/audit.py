"""Rows of `audit_log`: every change of a role, key or session, in the transaction that makes the change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from auth_service.database import Connection
from runtime.tracing import current_trace_id

Facts = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who (`actor_id`) did what (`action`) to what (`target`), why, and how it looked before and after.

    Facts never hold a password, a token or a hash of either.
    """

    actor_id: UUID
    action: str
    target: str
    reason: str
    before: Facts | None = None
    after: Facts | None = None


async def record(connection: Connection, entry: AuditEntry) -> None:
    """Writes one row; belongs in the transaction of the change itself."""
    await record_all(connection, [entry])


async def record_all(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Writes a row for each, all of them with the trace of the call being served."""
    trace_id = current_trace_id()
    await connection.executemany(
        """
        INSERT INTO audit_log (actor_id, action, target, reason, before, after, trace_id)
        VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7)
        """,
        [
            (e.actor_id, e.action, e.target, e.reason, _as_json(e.before), _as_json(e.after), trace_id)
            for e in entries
        ],
    )


def _as_json(facts: Facts | None) -> str | None:
    return None if facts is None else json.dumps(dict(facts))
