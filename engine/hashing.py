"""The state hash: one number for everything a market is, however it came about."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from engine.state import MarketState, Order, ShardState

_IDENTITY = tuple(name for name in Order.__slots__ if name not in Order.FIELDS)


def state_hash(state: MarketState) -> str:
    """SHA-256 over the market, its open orders in ladder order and its positions by user (empty ones left out)."""
    market = state.market
    content: list[Any] = [
        market.market_id,
        market.created_by,
        market.created_at,
        market.seq,
        market.read(),
    ]
    for ladder in state.ladders.values():
        content.append([[*(getattr(o, name) for name in _IDENTITY), *o.read()] for o in ladder])
        content.append(sorted(ladder.levels.items()))
    content.append([[user, *p.read()] for user, p in sorted(state.positions.items()) if any(p.read())])
    return sha256(msgspec.json.encode(content)).hexdigest()


def accounts_hash(state: ShardState) -> str:
    """SHA-256 over the accounts by user (empty ones left out)."""
    content = [[user, *a.read()] for user, a in sorted(state.accounts.items()) if any(a.read())]
    return sha256(msgspec.json.encode(content)).hexdigest()
