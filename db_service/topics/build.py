"""An event's messages: pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from db_service.topics import shapes
from db_service.topics.head import MarketHead, topics_of
from db_service.topics.messages import Envelope, TopicMessage, in_parts
from engine.commands import GrantPoints
from engine.events import Event
from engine.state import Order, Outcome
from engine.units import MICROS
from runtime.topics import Topic

ALL_TOPICS: Final = frozenset(Topic)


def messages_of(
    event: Event,
    event_hash: str,
    head: MarketHead,
    orders: Mapping[str, Order],
    topics: Collection[Topic] = ALL_TOPICS,
) -> list[TopicMessage]:
    """What these topics say of the event. Moves `head`, which stood at the event before, on to this one.

    `event_hash` is the hash of its stored bytes; `orders` has every order it changed (what never changes of each).
    """
    made: list[TopicMessage] = []
    for topic, prev_seq in head.apply(event).items():
        if topic in topics:
            envelope = Envelope(topic, event.market_id, event.seq, prev_seq, event.time)
            made.extend(_of_topic(envelope, event, event_hash, head, orders))
    return made


def _of_topic(
    envelope: Envelope, event: Event, event_hash: str, head: MarketHead, orders: Mapping[str, Order]
) -> list[TopicMessage]:
    match envelope.topic:
        case Topic.FILLS:
            return in_parts(envelope, {}, {"trades": shapes.trades(event), "fills": shapes.fills(event)})
        case Topic.PRICE_UPDATES:
            return in_parts(envelope, _prices(head), {})
        case Topic.ORDER_EVENTS:
            return in_parts(envelope, {"kind": event.kind}, {"orders": shapes.orders(event, orders)})
        case Topic.MARKET_EVENTS:
            return in_parts(envelope, _market(event, event_hash), _market_rows(event))


def _prices(head: MarketHead) -> dict[str, Any]:
    """All in YES prices."""
    after = head.after
    assert after is not None, "only a market has prices"
    bid, ask = head.best()
    return {
        "status": after.status,
        "probability_micros": head.probability_micros,
        "best_bid_micros": bid,
        "best_ask_micros": ask,
        "mid_micros": None if bid is None or ask is None else (bid + ask) // 2,
        "book_bid_micros": max(head.bids, default=None),
        "book_ask_micros": min(head.asks, default=None),
        "last_price_micros": after.last_price_micros or None,
        "pool_yes_micros": after.pool_yes,
        "pool_no_micros": after.pool_no,
        "open_interest_micros": after.collateral,
        "volume_micros": after.volume,
    }


def _market(event: Event, event_hash: str) -> dict[str, Any]:
    command, effects = event.command, event.effects
    is_grant = isinstance(command, GrantPoints)
    after = None if is_grant else effects.market
    return {
        "kind": event.kind,
        "topics": topics_of(event),
        "actor_id": command.actor_id,
        "shard": event.shard,
        "epoch": event.epoch,
        "hash": event_hash,
        "previous_hash": event.previous_hash,
        "grant": shapes.grant(command) if isinstance(command, GrantPoints) else None,
        "market": shapes.market(after) if after else None,
        "terms": shapes.terms(after.terms) if after and after.terms else None,
        "house": shapes.house(effects.house),
    }


def _market_rows(event: Event) -> dict[str, list[Any]]:
    levels = event.effects.levels
    return {
        "bids": [[level.bid_micros, level.quantity] for level in levels if level.outcome is Outcome.YES],
        "asks": [
            [MICROS - level.bid_micros, level.quantity] for level in levels if level.outcome is Outcome.NO
        ],
        "ledger": shapes.ledger(event),
        "positions": shapes.positions(event),
        "payouts": shapes.payouts(event),
    }
