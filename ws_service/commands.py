"""What clients may say, read strictly."""

from typing import Annotated, Literal

import msgspec

from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import is_canonical_uuid

MARKETS_PER_COMMAND_MAX = 200
Id = int | Annotated[str, msgspec.Meta(max_length=64)] | None
Channel = Literal["book", "trades", "status"]
MarketIds = Annotated[list[str], msgspec.Meta(min_length=1, max_length=MARKETS_PER_COMMAND_MAX)]


class _Command(msgspec.Struct, tag_field="cmd", forbid_unknown_fields=True, frozen=True, kw_only=True):
    id: Id = None


class Subscribe(_Command, tag="subscribe", frozen=True, kw_only=True):
    """`depth` is accepted for a book, which is always sent whole: its checksum needs it."""

    channel: Channel
    market_ids: MarketIds
    depth: Annotated[int, msgspec.Meta(ge=1, le=1_000)] | None = None


class Unsubscribe(_Command, tag="unsubscribe", frozen=True, kw_only=True):
    """The mirror of subscribe."""

    channel: Channel
    market_ids: MarketIds


class Snapshot(_Command, tag="snapshot", frozen=True, kw_only=True):
    """A fresh book of markets that are followed."""

    channel: Literal["book"] = "book"
    market_ids: MarketIds
    depth: Annotated[int, msgspec.Meta(ge=1, le=1_000)] | None = None


class List(_Command, tag="list", frozen=True, kw_only=True):
    """What this socket follows."""


class Ping(_Command, tag="ping", frozen=True, kw_only=True):
    """Answered by pong."""


Command = Subscribe | Unsubscribe | Snapshot | List | Ping


class _Any(msgspec.Struct):
    id: Id = None


_decoder = msgspec.json.Decoder(Command)
_id_decoder = msgspec.json.Decoder(_Any)


def command_of(text: str) -> Command:
    """Raises INVALID_ARGUMENT."""
    try:
        command: Command = _decoder.decode(text.encode("utf-8"))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        # msgspec's sentence names the field and the rule, never our code; a field's value is not in it.
        detail = str(error)[:200] if isinstance(error, msgspec.ValidationError) else "not a JSON command"
        raise ApiError(ErrorCode.INVALID_ARGUMENT, detail) from None
    if isinstance(command, Subscribe | Unsubscribe | Snapshot):
        _check_markets(command)
    return command


def id_of(text: str) -> int | str | None:
    """The id of a refused command, where one can be read."""
    try:
        return _id_decoder.decode(text.encode("utf-8")).id
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _check_markets(command: Subscribe | Unsubscribe | Snapshot) -> None:
    for number, market_id in enumerate(command.market_ids):
        if market_id == "*" and command.channel == "status":
            continue
        if not is_canonical_uuid(market_id):
            field = FieldError(f"/market_ids/{number}", "must be a lower-case UUID with dashes")
            raise ApiError(ErrorCode.INVALID_ARGUMENT, f"market_ids[{number}] {field.detail}", fields=[field])
