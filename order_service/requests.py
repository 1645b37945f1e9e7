"""What waits in a shard's inbox, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from engine.commands import AnyCommand, CreateMarket, GrantPoints, PlaceOrder
from engine.events import Event
from engine.refusals import Refusal
from engine.state import ShardState

KEY_MAX_CHARACTERS = 200
ORDER_KEY_PREFIX = "order:"


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit row of an admin's command, written in the command's own transaction."""

    action: str
    target: str
    reason: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """An accepted command: its event is durable (or, for a dry run, was undone). `context`: what `look` saw."""

    event: Event
    replayed: bool = False
    dry_run: bool = False
    context: Any = None


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The idempotency key belongs to another request."""

    key: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read returned, true for durable state."""

    value: Any


Answer = Done | Refusal | KeyReused | Seen


@dataclass(slots=True, eq=False)
class Request:
    """One command (or read) with its answer to come.

    `look` runs on the live state right before and right after the command; a read has no command, only `look`.
    """

    answer: asyncio.Future[Answer]
    command: AnyCommand | None = None
    look: Callable[[ShardState], Any] | None = None
    keys: tuple[str, ...] = ()
    request_hash: str = ""
    dry_run: bool = False
    audit: Audit | None = None
    key_owner: str = ""
    """Whose keys they are: the actor's, or, of a first grant, the receiver's."""


@dataclass(frozen=True, slots=True)
class Before:
    """What `look` saw before and after a command."""

    before: Any
    after: Any


def hash_of_request(command: AnyCommand) -> str:
    """The hash of what was asked, without the ids chosen by us (a grant may be asked of any shard)."""
    if isinstance(command, PlaceOrder):
        command = msgspec.structs.replace(command, order_id="")
    elif isinstance(command, CreateMarket | GrantPoints):
        command = msgspec.structs.replace(command, market_id="")
    return sha256(msgspec.json.encode(command)).hexdigest()


def keys_of(command: AnyCommand, idempotency_key: str) -> tuple[str, ...]:
    """The keys a command claims: its own, and that of its client_order_id."""
    keys = [idempotency_key] if idempotency_key else []
    if isinstance(command, PlaceOrder) and command.client_order_id:
        keys.append(ORDER_KEY_PREFIX + command.client_order_id)
    return tuple(dict.fromkeys(keys))
