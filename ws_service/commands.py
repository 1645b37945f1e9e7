"""What clients may say, read strictly."""

import json
from typing import Annotated, Any, Literal

import msgspec

from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import is_canonical_uuid

MARKETS_PER_COMMAND_MAX = 200
TICKET_MAX_CHARACTERS = 200
DEPTH_MAX = 1_000
USER_SEQ_MAX = 2**63 - 1
FOR_EVERY_MARKET = frozenset({"ticker", "status"})
ID_MAX = 2**53 - 1
Id = Annotated[int, msgspec.Meta(ge=-ID_MAX, le=ID_MAX)] | Annotated[str, msgspec.Meta(max_length=64)] | None
"""It comes back in the answer: an integer that every client can read."""
Channel = Literal["book", "trades", "ticker", "status", "user"]
MarketIds = Annotated[list[str], msgspec.Meta(max_length=MARKETS_PER_COMMAND_MAX)]
Depth = Annotated[int, msgspec.Meta(ge=1, le=DEPTH_MAX)] | None


class _Command(msgspec.Struct, tag_field="cmd", forbid_unknown_fields=True, frozen=True, kw_only=True):
    id: Id = None


class Subscribe(_Command, tag="subscribe", frozen=True, kw_only=True):
    """`depth` is accepted for a book, which is always sent whole: its checksum needs it. `since_user_seq` and no
    markets for the own events."""

    channel: Channel
    market_ids: MarketIds = []
    depth: Depth = None
    since_user_seq: Annotated[int, msgspec.Meta(ge=0, le=USER_SEQ_MAX)] | None = None


class Unsubscribe(_Command, tag="unsubscribe", frozen=True, kw_only=True):
    """The mirror of subscribe."""

    channel: Channel
    market_ids: MarketIds = []


class Snapshot(_Command, tag="snapshot", frozen=True, kw_only=True):
    """A fresh book of markets that are followed."""

    channel: Literal["book"] = "book"
    market_ids: MarketIds = []
    depth: Depth = None


class Authenticate(_Command, tag="auth", frozen=True, kw_only=True):
    """By a ticket, which is good once."""

    ticket: Annotated[str, msgspec.Meta(min_length=1, max_length=TICKET_MAX_CHARACTERS)]


class List(_Command, tag="list", frozen=True, kw_only=True):
    """What this socket follows."""


class Ping(_Command, tag="ping", frozen=True, kw_only=True):
    """Answered by pong."""


Command = Subscribe | Unsubscribe | Snapshot | Authenticate | List | Ping
OfMarkets = Subscribe | Unsubscribe | Snapshot


class _Any(msgspec.Struct):
    id: Id = None


_decoder = msgspec.json.Decoder(Command)
_id_decoder = msgspec.json.Decoder(_Any)


def command_of(text: str) -> Command:
    """Raises INVALID_ARGUMENT."""
    try:
        command: Command = _decoder.decode(text.encode("utf-8"))
        json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        # msgspec's sentence names the field and the rule, never our code; a field's value is not in it.
        detail = str(error)[:200] if isinstance(error, msgspec.ValidationError) else "not a JSON command"
        raise ApiError(ErrorCode.INVALID_ARGUMENT, detail) from None
    if isinstance(command, OfMarkets):
        _check_markets(command)
    return command


def id_of(text: str) -> int | str | None:
    """The id of a refused command, where one can be read."""
    try:
        return _id_decoder.decode(text.encode("utf-8")).id
    except (ValueError, RecursionError):
        return None


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    """A key that comes twice means two things: nobody should have to guess which."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError


def _check_markets(command: OfMarkets) -> None:
    if command.channel == "user":
        if command.market_ids:
            raise _refusal("/market_ids", "are not taken: your own events are of all markets")
        return
    if isinstance(command, Subscribe) and command.since_user_seq is not None:
        raise _refusal("/since_user_seq", "is for the channel user")
    if not command.market_ids:
        raise _refusal("/market_ids", "must name a market")
    for number, market_id in enumerate(command.market_ids):
        if market_id == "*" and command.channel in FOR_EVERY_MARKET:
            continue
        if not is_canonical_uuid(market_id):
            raise _refusal(f"/market_ids/{number}", "must be a lower-case UUID with dashes")


def _refusal(pointer: str, detail: str) -> ApiError:
    field = FieldError(pointer, detail)
    return ApiError(ErrorCode.INVALID_ARGUMENT, f"{pointer[1:]} {detail}", fields=[field])
