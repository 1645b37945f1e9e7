"""What analytics reads from PostgreSQL, as pm_analytics: messages the bus has lost, the markets there are, names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from analytics.ingest.rows import Message, read
from db_service.topics.reading import read_messages
from runtime.postgres import Pool
from runtime.topics import Topic


class Database:
    """PostgreSQL, through a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(
        self, market_id: str, topics: Collection[Topic], after_seq: int, to_seq: int
    ) -> AsyncIterator[Sequence[tuple[Topic, Message]]]:
        """What these topics say of a market's events after_seq + 1 .. to_seq, some events at a time."""
        found = read_messages(self._pool, market_id, after_seq=after_seq, to_seq=to_seq, topics=topics)
        async for some in found:
            yield [(message.topic, read(message.body)) for message in some]

    async def heads(self) -> dict[str, int]:
        """Every market and system stream with an event, and its last one's number."""
        rows = await self._pool.fetch(
            """
            SELECT market_id::text AS market_id, seq FROM markets
            UNION ALL SELECT market_id::text, seq FROM system_streams WHERE seq > 0
            """
        )
        return {row["market_id"]: row["seq"] for row in rows}

    async def has_market(self, market_id: str) -> bool:
        """Whether there is one that everybody may see: no DRAFT, and none that was withdrawn."""
        found: bool = await self._pool.fetchval(
            """
            SELECT EXISTS (SELECT FROM markets WHERE market_id = $1 AND status <> 'DRAFT' AND reason <> 'DELETED')
            """,
            market_id,
        )
        return found

    async def names(self, user_ids: Sequence[str]) -> dict[str, str]:
        """What these users call themselves."""
        rows = await self._pool.fetch(
            "SELECT user_id::text AS user_id, display_name FROM users WHERE user_id = ANY($1::uuid[])",
            list(user_ids),
        )
        return {row["user_id"]: row["display_name"] for row in rows}
