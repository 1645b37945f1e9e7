"""The table of errors is total and says what to do."""

from pathlib import Path

import grpc
import pytest

from runtime.error_codes import as_markdown
from runtime.errors import ApiError, ErrorCode, FieldError, from_rpc_status, to_rpc_status

PROTOCOL_CODES = [
    "INSUFFICIENT_FUNDS",
    "INSUFFICIENT_SHARES",
    "MARKET_NOT_FOUND",
    "MARKET_NOT_ACTIVE",
    "MARKET_CLOSED",
    "ORDER_NOT_FOUND",
    "PRICE_NOT_ON_TICK",
    "QUANTITY_NOT_ON_LOT",
    "AMOUNT_TOO_SMALL",
    "TOO_MANY_OPEN_ORDERS",
    "SLIPPAGE_EXCEEDED",
    "POST_ONLY_WOULD_TAKE",
    "FOK_NOT_FILLABLE",
    "NOTHING_FILLED",
    "SELF_TRADE",
    "IDEMPOTENCY_KEY_REUSED",
    "IDEMPOTENCY_IN_FLIGHT",
    "CONFLICT_OF_INTEREST",
    "TREASURY_SHORTFALL",
    "GRANTS_EXHAUSTED",
    "MARKET_THROTTLED",
    "NOT_SHARD_OWNER",
    "OVERLOADED",
    "RATE_LIMITED",
    "RESUME_UNAVAILABLE",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "INVALID_ARGUMENT",
    "UNAVAILABLE",
]


@pytest.mark.parametrize("name", PROTOCOL_CODES)
def test_every_code_of_the_protocol_is_declared(name: str) -> None:
    assert ErrorCode[name] == name


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_statuses_and_a_paragraph(code: ErrorCode) -> None:
    assert code.name == code.value
    assert isinstance(code.grpc_status, grpc.StatusCode)
    assert code.grpc_status is not grpc.StatusCode.OK
    assert 400 <= code.http_status < 600
    assert code.help.endswith(".")
    assert len(code.help.split()) >= 6
    assert code.summary[0].isupper()


@pytest.mark.parametrize("code", ErrorCode)
def test_a_client_that_must_change_something_is_not_told_to_retry(code: ErrorCode) -> None:
    assert code.retryable <= (code.http_status in (409, 429, 503, 504))
    assert (code.http_status in (429, 503, 504)) <= code.retryable


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_survives_the_wire(code: ErrorCode) -> None:
    error = ApiError(code, "why", fields=[FieldError("/x", "y")], shortfall_micros=12)
    again = from_rpc_status(to_rpc_status(error))
    assert again is not None
    assert (again.code, again.message, again.fields, again.details) == (
        error.code,
        error.message,
        error.fields,
        {"shortfall_micros": "12"},
    )


def test_what_a_client_sent_cannot_break_or_swell_an_error() -> None:
    error = ApiError(ErrorCode.INVALID_ARGUMENT, "\ud800" + "x" * 100_000, value="\ud800" * 100_000)
    assert len(to_rpc_status(error).SerializeToString()) < 8_000


def test_a_problem_document_has_the_stable_names() -> None:
    body = ApiError(ErrorCode.PRICE_NOT_ON_TICK, fields=[FieldError("/price_micros", "off")]).problem("abc")
    assert (body["code"], body["status"], body["trace_id"]) == ("PRICE_NOT_ON_TICK", 422, "abc")
    assert body["errors"] == [{"pointer": "/price_micros", "detail": "off"}]
    assert body["title"] == "Price not on tick"


def test_a_detail_cannot_take_the_place_of_a_stable_name() -> None:
    assert ApiError(ErrorCode.FORBIDDEN, "no", status=200, title="x").problem("t")["status"] == 403


def test_the_page_of_errors_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
    assert page.read_text() == as_markdown(), "run `make docs`"
