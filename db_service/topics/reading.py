"""The topics' messages from PostgreSQL: to fill a gap, to resume after a restart, to rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from db_service.store import loading
from db_service.topics.build import ALL_TOPICS, messages_of
from db_service.topics.head import Checkpoint, MarketHead, head_of
from db_service.topics.messages import TopicMessage
from engine.events import Event, decode
from runtime.postgres import Connection, Pool
from runtime.topics import Topic

EVENTS_PER_READ = 200


async def read_messages(
    connection: Connection | Pool,
    market_id: str,
    *,
    after_seq: int,
    to_seq: int,
    topics: Collection[Topic] = ALL_TOPICS,
) -> AsyncIterator[list[TopicMessage]]:
    """What these topics say of the market's events after_seq + 1 .. to_seq, in order, some events at a time."""
    head = await head_at(connection, market_id, after_seq)
    while head.seq < to_seq:
        stored = await _events(connection, market_id, head.seq, to_seq)
        if not stored:
            return
        orders = await loading.orders_of(connection, [event for event, _ in stored])
        made: list[TopicMessage] = []
        for event, event_hash in stored:
            made.extend(messages_of(event, event_hash, head, orders, topics))
        yield made


async def head_at(connection: Connection | Pool, market_id: str, seq: int) -> MarketHead:
    """The market as event `seq` (0: none) left it: the nearest checkpoint before, and the events since folded."""
    text = await connection.fetchval(
        """
        SELECT head FROM topic_checkpoints WHERE market_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1
        """,
        market_id,
        seq,
    )
    head = head_of(text) if text else MarketHead(market_id)
    while head.seq < seq:
        stored = await _events(connection, market_id, head.seq, seq)
        if not stored:
            raise LookupError(f"market {market_id} has no event {head.seq + 1}")
        for event, _ in stored:
            head.apply(event)
    return head


async def save_checkpoints(connection: Connection | Pool, checkpoints: Sequence[Checkpoint]) -> None:
    """Kept for good; one that is there already is the same."""
    await connection.execute(
        """
        INSERT INTO topic_checkpoints (market_id, seq, head) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])
        ON CONFLICT DO NOTHING
        """,
        [checkpoint.market_id for checkpoint in checkpoints],
        [checkpoint.seq for checkpoint in checkpoints],
        [checkpoint.text for checkpoint in checkpoints],
    )


async def _events(
    connection: Connection | Pool, market_id: str, after_seq: int, to_seq: int
) -> list[tuple[Event, str]]:
    """Some of the events after_seq + 1 .. to_seq, with their hashes."""
    rows = await connection.fetch(
        """
        SELECT payload, hash FROM events
        WHERE market_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4
        """,
        market_id,
        after_seq,
        to_seq,
        EVENTS_PER_READ,
    )
    return [(decode(row["payload"]), row["hash"]) for row in rows]
