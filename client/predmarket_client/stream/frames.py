"""What the live feed says, as frozen, typed values. Frames of a `type` this version does not know are passed over."""

from datetime import datetime
from typing import Any

import msgspec

from predmarket_client.errors import ProtocolError
from predmarket_client.shapes.markets import Level, Outcome, Pool, Side, Trade


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server allows one socket."""

    messages_per_second: int = 10
    subscriptions: int = 200


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """The first frame."""

    heartbeat_interval_ms: int
    limits: Limits = Limits()


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """Somebody is there."""


class GoAway(msgspec.Struct, frozen=True, tag_field="type", tag="goaway"):
    """The server is about to stop; come back after so long."""

    reconnect_after_ms: int


class ErrorFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A command that was refused; or, without `id`, news of what is missing in a channel (and market)."""

    code: str
    message: str
    retryable: bool = False
    id: int | str | None = None
    channel: str | None = None
    market_id: str | None = None


class BookSnapshot(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="book.snapshot"):
    """A whole book."""

    market_id: str
    epoch: int
    seq: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    pool: Pool
    checksum: int


class BookDelta(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="book.delta"):
    """Levels as they are now; 0 deletes."""

    market_id: str
    epoch: int
    prev_seq: int
    seq: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    pool: Pool
    checksum: int


class TradeFrame(Trade, frozen=True, kw_only=True, tag_field="type", tag="trade"):
    """A trade as it happens."""


class Ticker(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ticker"):
    """A market in figures, in YES prices. `change_24h_micros` is of the probability; what nobody can tell is None."""

    market_id: str
    seq: int
    probability_micros: int
    best_bid_micros: int | None = None
    best_ask_micros: int | None = None
    mid_micros: int | None = None
    last_price_micros: int | None = None
    change_24h_micros: int | None = None
    volume_24h_micros: int | None = None
    open_interest_micros: int | None = None
    time: datetime | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """A market's status, as it is and as it changes."""

    market_id: str
    seq: int
    status: str
    reason: str | None = None
    outcome: str | None = None
    closes_at: datetime | None = None


class OwnFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the caller's own changed. `user_seq` has no gaps; `seq` is the market's event."""

    user_seq: int
    seq: int = 0


class OwnOrder(OwnFrame, frozen=True, kw_only=True, tag_field="type", tag="user.order"):
    """One of your orders, as it is now."""

    order_id: str
    market_id: str
    side: Side
    outcome: Outcome
    order_type: str
    time_in_force: str
    status: str
    quantity_micros: int
    filled_micros: int
    remaining_micros: int
    cost_micros: int
    fee_micros: int
    locked_micros: int
    client_order_id: str | None = None
    price_micros: int | None = None
    amount_micros: int | None = None
    reason: str | None = None


class OwnFill(OwnFrame, frozen=True, kw_only=True, tag_field="type", tag="user.fill"):
    """One fill of yours, as MAKER or TAKER."""

    trade_id: str
    order_id: str
    market_id: str
    venue: str
    liquidity: str
    side: Side
    outcome: Outcome
    price_micros: int
    quantity_micros: int
    cost_micros: int
    fee_micros: int
    netted_micros: int


class OwnBalance(OwnFrame, frozen=True, kw_only=True, tag_field="type", tag="user.balance"):
    """Your Points now."""

    available_micros: int
    locked_micros: int


class OwnPosition(OwnFrame, frozen=True, kw_only=True, tag_field="type", tag="user.position"):
    """Your shares of a market now."""

    market_id: str
    yes_micros: int
    no_micros: int
    locked_yes_micros: int
    locked_no_micros: int
    cost_basis_yes_micros: int
    cost_basis_no_micros: int
    realized_pnl_micros: int


class Answer(msgspec.Struct, frozen=True):
    """Any frame that answers a command by its id: subscribed, pong, and what later versions add."""

    type: str
    id: int | str | None = None


Own = OwnOrder | OwnFill | OwnBalance | OwnPosition
Known = (
    Hello
    | Heartbeat
    | GoAway
    | ErrorFrame
    | BookSnapshot
    | BookDelta
    | TradeFrame
    | Ticker
    | Status
    | OwnOrder
    | OwnFill
    | OwnBalance
    | OwnPosition
)
Frame = Known | Answer

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Known)
_answers = msgspec.json.Decoder(Answer)
KNOWN_TYPES = frozenset(str(struct.__struct_config__.tag) for struct in Known.__args__)


def frame_of(text: str | bytes) -> Frame:
    """Raises ProtocolError for what is no frame, or a known one without what it must have."""
    try:
        known: Known = _decoder.decode(text)
        return known
    except msgspec.DecodeError as error:
        problem = error
    try:
        answer = _answers.decode(text)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not a frame: {error}") from error
    if answer.type in KNOWN_TYPES:
        raise ProtocolError(f"a frame of type {answer.type}: {problem}") from problem
    return answer
