"""The bus' messages, read strictly: what does not fit is a defect of ours and is reported, not guessed at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.clock import to_rfc3339
from ws_service import frames


@dataclass(frozen=True, slots=True)
class TradeMessage:
    """The trades of some events; `prev_seq` chains them (0: the market's first)."""

    prev_seq: int
    seq: int
    trades: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """A market's new status, as it goes out."""

    market_id: str
    seq: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What one event changed for one user: frames numbered from `first_seq`, without gaps, as they go out."""

    first_seq: int
    last_seq: int
    frames: tuple[bytes, ...]

    def after(self, user_seq: int) -> tuple[bytes, ...]:
        """The frames with higher numbers."""
        return self.frames[max(0, user_seq + 1 - self.first_seq) :]


TIMES = ("time", "expires_at", "created_at", "updated_at")
EMPTY_IS_NULL = (
    "client_order_id",
    "price_micros",
    "amount_micros",
    "average_price_micros",
    "reason",
    "self_trade",
)
"""Of an order: empty or 0 on the bus means that there is none, which is null for clients, as over REST."""


def trade_message(data: bytes) -> TradeMessage:
    """Raises ValueError, KeyError or TypeError."""
    document = orjson.loads(data)
    trades = tuple({**trade, "time": shown_time(trade["time"])} for trade in document["trades"])
    return TradeMessage(document["prev_seq"], document["seq"], trades)


def status_message(data: bytes) -> StatusMessage:
    """Raises ValueError, KeyError or TypeError."""
    document = orjson.loads(data)
    fields = {
        "market_id": document["market_id"],
        "seq": document["seq"],
        "time": shown_time(document["time"]),
        "status": document["status"],
        "reason": document.get("reason") or None,
        "outcome": document.get("outcome") or None,
        "closes_at": shown_time(document.get("closes_at")),
    }
    return StatusMessage(document["market_id"], document["seq"], fields)


def shown_time(value: Any) -> str | None:
    """Micros on the bus, RFC 3339 on the socket; 0 and null are no time."""
    if isinstance(value, str):
        return value
    return to_rfc3339(value) if value else None


def user_message(data: bytes) -> UserMessage:
    """Raises ValueError, KeyError or TypeError."""
    document = orjson.loads(data)
    rows = document["frames"]
    first = rows[0]["user_seq"]
    if [row["user_seq"] for row in rows] != list(range(first, document["user_seq"] + 1)):
        raise ValueError("user_seq has gaps")
    return UserMessage(first, document["user_seq"], tuple(_user_frame(row) for row in rows))


def _user_frame(row: dict[str, Any]) -> bytes:
    shown: dict[str, Any] = {
        name: shown_time(value) if name in TIMES else value for name, value in row.items()
    }
    for name in EMPTY_IS_NULL:
        if row["type"] == "user.order" and not row[name]:
            shown[name] = None
    kind = shown.pop("type")
    return frames.message(kind, **shown)
