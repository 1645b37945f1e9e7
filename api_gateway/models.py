"""Bodies and queries of the API. Strict: no unknown fields, no number for a text, no true for 1."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from runtime.clock import from_rfc3339
from runtime.ids import is_canonical_uuid

AMOUNT_MAX_MICROS = 10**15
PRICE_MAX_MICROS = 999_999
BATCH_MAX = 50
PAGE_MAX = 200
DIGITS_MAX = 18
MARKETS_MAX = 100
PAST_MAX_MICROS = 4_102_444_800_000_000
TIME_MAX_MICROS = 253_402_300_799_999_999  # the year 9999


def _canonical(text: str) -> str:
    if not is_canonical_uuid(text):
        raise ValueError("must be a lower-case UUID with dashes")
    return text


def _time(text: str) -> str:
    try:
        micros = from_rfc3339(text)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2030-01-02T03:04:05.000006Z") from None
    if not 0 < micros <= TIME_MAX_MICROS:
        raise ValueError("must lie between 1970 and 9999")
    return text


def _digits(value: object) -> object:
    """Of a query, where a number is a text: `20`, and not `20.0` or ` 20`."""
    if not isinstance(value, str):
        return value
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX):
        raise ValueError("must be a whole number in digits")
    return int(value)


def _past_time(text: str) -> str:
    """What analytics takes: until 2100."""
    if from_rfc3339(_time(text)) > PAST_MAX_MICROS:
        raise ValueError("must lie between 1970 and 2100")
    return text


# What a schema can say of an id or a time; the validator, which is quicker, says the same and more.
_UUID_SCHEMA = {"format": "uuid", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
Id = Annotated[str, Field(max_length=36, json_schema_extra=_UUID_SCHEMA), AfterValidator(_canonical)]
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"}), AfterValidator(_time)]
PastTime = Annotated[
    str, Field(max_length=40, json_schema_extra={"format": "date-time"}), AfterValidator(_past_time)
]
Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX_MICROS)]
Price = Annotated[int, Field(ge=1, le=PRICE_MAX_MICROS)]
Side = Literal["BUY", "SELL"]
Outcome = Literal["YES", "NO"]
Reason = Annotated[str, Field(min_length=1, max_length=500)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX), BeforeValidator(_digits)]
Hours = Annotated[int, Field(ge=0, le=8_760), BeforeValidator(_digits)]
Depth = Annotated[int, Field(ge=1, le=1_000), BeforeValidator(_digits)]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Cursor = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[\x21-\x7e]+$")]


def micros_of(text: str | None) -> int:
    """Microseconds since the epoch; 0 for no time."""
    return 0 if text is None else from_rfc3339(text)


class Strict(BaseModel):
    """What every body and query is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class PlaceOrder(Strict):
    """One order. Which fields go together, the engine says."""

    market_id: Id
    side: Side
    outcome: Outcome
    type: Literal["LIMIT", "MARKET"]
    time_in_force: Literal["GTC", "GTD", "IOC", "FOK"] | None = None
    price_micros: Price | None = None
    quantity_micros: Amount | None = None
    amount_micros: Amount | None = None
    close_position: bool = False
    post_only: bool = False
    self_trade: Literal["CANCEL_TAKER", "CANCEL_MAKER"] | None = None
    expires_at: Time | None = None
    max_slippage_bps: Annotated[int, Field(ge=0, le=10_000)] | None = None
    expected_price_micros: Price | None = None
    client_order_id: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")
    dry_run: bool = False


class QuoteOrder(PlaceOrder):
    """An order to quote. `client_order_id` and `dry_run` mean nothing here."""

    balance_micros: Amount | None = Field(
        default=None, description="What `largest` may spend; absent: the caller's balance."
    )
    impact: bool = Field(default=True, description="Also the prices at growing sizes.")


class Batch(Strict):
    """Orders, each judged and answered on its own."""

    orders: Annotated[list[PlaceOrder], Field(min_length=1, max_length=BATCH_MAX)]


class AmendOrder(Strict):
    """New totals; at least one."""

    price_micros: Price | None = None
    quantity_micros: Amount | None = None
    market_id: Id | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.price_micros is None and self.quantity_micros is None:
            raise ValueError("state price_micros, quantity_micros or both")
        return self


class Sets(Strict):
    """Sets to mint or merge."""

    quantity_micros: Amount


class MarketQuery(Strict):
    """`market_id=` of the query."""

    market_id: Id


class BookQuery(Strict):
    """Levels a side; absent: all. `merged`: also what the pool trades at a price. `at`: a past moment; absent: now."""

    depth: Depth | None = None
    merged: Literal["true", "false"] = "false"
    at: PastTime | None = None


class CandlesQuery(Strict):
    """Those that start at or after `from` and before `to` (absent: now); of a range longer than `limit` intervals the
    last ones."""

    interval: Literal["1m", "5m", "1h", "1d"]
    from_: PastTime | None = Field(default=None, alias="from")
    to: PastTime | None = None
    limit: Depth = 500


class LeaderboardQuery(Strict):
    """By what, since when, how many."""

    metric: Literal["profit", "volume"] = "profit"
    period: Literal["daily", "weekly", "all"] = "all"
    limit: Limit = 50


class CalibrationQuery(Strict):
    """Which probability is judged: the one in force so many hours before the decision."""

    hours_before: Hours = 0


class Page(Strict):
    """Newest first."""

    limit: Limit = 50
    cursor: Cursor | None = None


class MarketsPage(Page):
    """Which markets."""

    status: Literal["DRAFT", "ACTIVE", "PAUSED", "RESOLVED", "CANCELLED"] | None = None
    category: str | None = Field(default=None, min_length=1, max_length=60)
    q: str | None = Field(default=None, min_length=1, max_length=100)
    sort: Literal["newest", "volume", "closing", "movers"] = "newest"


def _market_ids(text: str) -> str:
    ids = text.split(",")
    if len(ids) > MARKETS_MAX or not all(map(is_canonical_uuid, ids)):
        raise ValueError(f"must be at most {MARKETS_MAX} lower-case UUIDs with dashes, divided by commas")
    return text


class TickersQuery(Strict):
    """Of these markets, or page by page of all live ones."""

    market_ids: (
        Annotated[str, Field(max_length=37 * 100 - 1, pattern="^[0-9a-f,-]+$"), AfterValidator(_market_ids)]
        | None
    ) = None
    limit: Limit | None = None
    cursor: Cursor | None = None


class HistoryPage(Page):
    """Of one market, or of all."""

    market_id: Id | None = None


class OrdersPage(HistoryPage):
    """Which of the caller's orders."""

    status: Literal["OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED"] | None = None
    open_only: Literal["true", "false"] = "false"


class FillsPage(HistoryPage):
    """Which of the caller's fills."""

    order_id: Id | None = None


class LedgerPage(HistoryPage):
    """Which rows of the caller's ledger."""

    kind: Word | None = None
