"""Data access: credentials that are over before their time, written with the change and read as a feed.

Rows are read by the number of their transaction, up to the oldest one under way: a row that commits late lies beyond
the point where the next reading begins, so none is lost, and some are read twice.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from auth_service.database import Connection
from auth_service.identity import BadField
from runtime.clock import from_datetime
from runtime.credentials import Subject, TokenChange, TokenChanges
from runtime.tokens import LIFETIME_MAX_SECONDS

PAGE_MAX: Final = 5_000

MATTERS_SECONDS: Final = LIFETIME_MAX_SECONDS + 60
"""No access token lives longer, whatever its lifetime is set to."""

_CURSOR = re.compile(r"(\d{1,18})(?:\.(\d{1,18})\.(\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where reading goes on. A round of pages begins where the last round's first page saw the oldest transaction."""

    next_round: int
    transaction: int
    change: int

    def text(self) -> str:
        return f"{self.next_round}.{self.transaction}.{self.change}" if self.change else f"{self.next_round}"


async def note_user(connection: Connection, user_id: UUID, *, minimum_version: int) -> None:
    """Tokens with a lower version are over."""
    await _note(connection, Subject.USER, [user_id], minimum_version)


async def note_sessions(connection: Connection, session_ids: Iterable[UUID]) -> None:
    """Their access tokens are over."""
    await _note(connection, Subject.SESSION, list(session_ids), 0)


async def note_api_key(connection: Connection, api_key_id: UUID) -> None:
    """It is over."""
    await _note(connection, Subject.API_KEY, [api_key_id], 0)


async def list_since(connection: Connection, cursor: str) -> TokenChanges:
    """The next page. Raises BadField for a cursor that this database never gave out."""
    place = _parsed(cursor)
    rows = await connection.fetch(
        """
        SELECT oldest, changes.* FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) AS now
        LEFT JOIN LATERAL (
            SELECT transaction_number, change_id, subject, subject_id, minimum_version, matters_until
            FROM token_changes
            WHERE (transaction_number, change_id) > ($1, $2) AND matters_until > now()
            ORDER BY transaction_number, change_id LIMIT $3
        ) AS changes ON true
        """,
        place.transaction,
        place.change,
        PAGE_MAX,
    )
    oldest = rows[0]["oldest"]
    if place.next_round > oldest:
        raise BadField("cursor", "This database has not come so far.")
    rows = [row for row in rows if row["change_id"] is not None]
    is_more = len(rows) == PAGE_MAX
    next_round = place.next_round if place.change else oldest
    if is_more:
        following = _Place(next_round, rows[-1]["transaction_number"], rows[-1]["change_id"])
    else:
        following = _Place(next_round, next_round, 0)
    changes = [
        TokenChange(
            Subject[row["subject"].upper()],
            str(row["subject_id"]),
            row["minimum_version"],
            from_datetime(row["matters_until"]),
        )
        for row in rows
    ]
    return TokenChanges(changes, following.text(), is_more)


async def _note(connection: Connection, subject: Subject, ids: Sequence[UUID], minimum_version: int) -> None:
    await connection.execute(
        """
        INSERT INTO token_changes (subject, subject_id, minimum_version, matters_until)
        SELECT $1, subject_id, $3, now() + make_interval(secs => $4) FROM unnest($2::uuid[]) AS subject_id
        """,
        subject.name.lower(),
        ids,
        minimum_version,
        MATTERS_SECONDS,
    )


def _parsed(cursor: str) -> _Place:
    if not cursor:
        return _Place(0, 0, 0)
    parts = _CURSOR.fullmatch(cursor)
    if parts is None or not cursor.isascii():
        raise BadField("cursor", "This is not a cursor of this feed.")
    next_round = int(parts[1])
    if parts[2] is None:
        return _Place(next_round, next_round, 0)
    return _Place(next_round, int(parts[2]), int(parts[3]))
