"""The table of error codes. A test proves it total; the docs print it. Add at the end of a group; never rename.

Each row: gRPC status, HTTP status, whether the same request may succeed later by itself, and a paragraph to act on.
"""

from enum import StrEnum

from grpc import StatusCode


class ErrorCode(StrEnum):
    """`ErrorCode.MARKET_CLOSED == "MARKET_CLOSED"`; the attributes are the rest of the row."""

    grpc_status: StatusCode
    http_status: int
    retryable: bool
    help: str

    def __new__(
        cls, name: str, grpc_status: StatusCode, http_status: int, retryable: bool, help: str
    ) -> "ErrorCode":
        member = str.__new__(cls, name)
        member._value_ = name
        member.grpc_status = grpc_status
        member.http_status = http_status
        member.retryable = retryable
        member.help = help
        return member

    @property
    def summary(self) -> str:
        """A short name for people: "Market closed"."""
        return self.value.replace("_", " ").capitalize()

    # what the request says
    INVALID_ARGUMENT = (
        "INVALID_ARGUMENT", StatusCode.INVALID_ARGUMENT, 422, False,
        "A field is missing, unknown, of the wrong type or out of range. The answer names the field; correct it.",
    )  # fmt: skip
    MALFORMED_REQUEST = (
        "MALFORMED_REQUEST", StatusCode.INVALID_ARGUMENT, 400, False,
        "The request could not be read: not valid JSON or protobuf, a duplicate key, a wrong content type, or no "
        "deadline on a gRPC call. Correct the client.",
    )  # fmt: skip
    PAYLOAD_TOO_LARGE = (
        "PAYLOAD_TOO_LARGE", StatusCode.RESOURCE_EXHAUSTED, 413, False,
        "The body is larger than this route accepts. Send less, or several requests.",
    )  # fmt: skip
    NOT_FOUND = (
        "NOT_FOUND", StatusCode.NOT_FOUND, 404, False,
        "There is no such thing, or it is not yours to see. Check the path and the ids.",
    )  # fmt: skip
    METHOD_NOT_ALLOWED = (
        "METHOD_NOT_ALLOWED", StatusCode.UNIMPLEMENTED, 405, False,
        "The path exists but not with this method. The Allow header lists the methods.",
    )  # fmt: skip
    UNSUPPORTED_MEDIA_TYPE = (
        "UNSUPPORTED_MEDIA_TYPE", StatusCode.INVALID_ARGUMENT, 415, False,
        "The body must be sent as application/json, without content encoding.",
    )  # fmt: skip

    # who asks
    UNAUTHENTICATED = (
        "UNAUTHENTICATED", StatusCode.UNAUTHENTICATED, 401, False,
        "No valid access token or API key came with the request, or it has expired. Log in or refresh, and send it "
        "as `Authorization: Bearer`.",
    )  # fmt: skip
    FORBIDDEN = (
        "FORBIDDEN", StatusCode.PERMISSION_DENIED, 403, False,
        "Your role may not do this. Ask an administrator if you should.",
    )  # fmt: skip
    CSRF_REJECTED = (
        "CSRF_REJECTED", StatusCode.PERMISSION_DENIED, 403, False,
        "A request with a session cookie that changes something must come from a page of this site, or of an allowed "
        "origin, and repeat the cookie `pm_csrf` (with its prefix `__Host-`) in the header X-CSRF-Token.",
    )  # fmt: skip
    COOKIES_NEED_HTTPS = (
        "COOKIES_NEED_HTTPS", StatusCode.FAILED_PRECONDITION, 400, False,
        "A browser drops secure cookies that come over plain http from another machine, so the session would be lost. "
        "Use https, or log in without `cookies`. On a network of your own the gateway's setting INSECURE_COOKIES=1 "
        "makes cookies that plain http keeps.",
    )  # fmt: skip
    INVALID_CREDENTIALS = (
        "INVALID_CREDENTIALS", StatusCode.UNAUTHENTICATED, 401, False,
        "E-mail and password do not belong together. The answer is the same whether the account exists or not.",
    )  # fmt: skip
    REFRESH_TOKEN_INVALID = (
        "REFRESH_TOKEN_INVALID", StatusCode.UNAUTHENTICATED, 401, False,
        "The refresh token is unknown, used, expired, or its session has ended. Log in again.",
    )  # fmt: skip
    AUTHORIZATION_CODE_INVALID = (
        "AUTHORIZATION_CODE_INVALID", StatusCode.UNAUTHENTICATED, 401, False,
        "The PKCE code is unknown, used, older than 60 seconds, or was meant for another verifier, client or redirect "
        "URI. Ask for another code; each is good for one attempt.",
    )  # fmt: skip
    RESET_TOKEN_INVALID = (
        "RESET_TOKEN_INVALID", StatusCode.UNAUTHENTICATED, 401, False,
        "The token of the mail is unknown, used, or older than 30 minutes. Ask for another mail.",
    )  # fmt: skip
    ACCOUNT_SUSPENDED = (
        "ACCOUNT_SUSPENDED", StatusCode.PERMISSION_DENIED, 403, False,
        "The account was suspended by an administrator, who can also restore it.",
    )  # fmt: skip
    EMAIL_TAKEN = (
        "EMAIL_TAKEN", StatusCode.ALREADY_EXISTS, 409, False,
        "An account with this e-mail exists. Log in instead.",
    )  # fmt: skip
    USER_NOT_FOUND = (
        "USER_NOT_FOUND", StatusCode.NOT_FOUND, 404, False,
        "There is no user with this id.",
    )  # fmt: skip
    LAST_ADMIN = (
        "LAST_ADMIN", StatusCode.FAILED_PRECONDITION, 409, False,
        "Nobody could administer the engine any more. Make another administrator first.",
    )  # fmt: skip
    TOO_MANY_API_KEYS = (
        "TOO_MANY_API_KEYS", StatusCode.FAILED_PRECONDITION, 409, False,
        "An account has at most 20 API keys. Revoke one that is no longer used.",
    )  # fmt: skip
    CONFLICT_OF_INTEREST = (
        "CONFLICT_OF_INTEREST", StatusCode.FAILED_PRECONDITION, 409, False,
        "An administrator who holds a position or an open order in a market may not edit, resolve or cancel it. "
        "Another administrator can; pausing is always possible.",
    )  # fmt: skip

    # what the market and the account say
    INSUFFICIENT_FUNDS = (
        "INSUFFICIENT_FUNDS", StatusCode.FAILED_PRECONDITION, 409, False,
        "The available points do not cover the order and its fee. Cancel open orders, or order less.",
    )  # fmt: skip
    INSUFFICIENT_SHARES = (
        "INSUFFICIENT_SHARES", StatusCode.FAILED_PRECONDITION, 409, False,
        "A SELL or a merge needs shares that are held and not locked by other open orders. A SELL never opens a "
        "position: to bet against an outcome, BUY the other one.",
    )  # fmt: skip
    MARKET_NOT_FOUND = (
        "MARKET_NOT_FOUND", StatusCode.NOT_FOUND, 404, False,
        "There is no such market, or it is not open to the public yet.",
    )  # fmt: skip
    MARKET_NOT_ACTIVE = (
        "MARKET_NOT_ACTIVE", StatusCode.FAILED_PRECONDITION, 409, False,
        "The market is a draft, paused, resolved or cancelled, and this step needs another status. While it is "
        "paused, orders may still be cancelled or decreased.",
    )  # fmt: skip
    MARKET_CLOSED = (
        "MARKET_CLOSED", StatusCode.FAILED_PRECONDITION, 409, False,
        "The market's closing time has passed; it waits for its resolution and takes no orders.",
    )  # fmt: skip
    ORDER_NOT_FOUND = (
        "ORDER_NOT_FOUND", StatusCode.NOT_FOUND, 404, False,
        "You have no such order, or it is no longer open.",
    )  # fmt: skip
    PRICE_NOT_ON_TICK = (
        "PRICE_NOT_ON_TICK", StatusCode.INVALID_ARGUMENT, 422, False,
        "Prices are multiples of the market's tick_micros, from one tick to 1,000,000 minus one tick.",
    )  # fmt: skip
    QUANTITY_NOT_ON_LOT = (
        "QUANTITY_NOT_ON_LOT", StatusCode.INVALID_ARGUMENT, 422, False,
        "Quantities of limit orders are multiples of the market's lot_micros.",
    )  # fmt: skip
    AMOUNT_TOO_SMALL = (
        "AMOUNT_TOO_SMALL", StatusCode.INVALID_ARGUMENT, 422, False,
        "Amounts to spend and limit quantities start at 1,000 micros.",
    )  # fmt: skip
    TOO_MANY_OPEN_ORDERS = (
        "TOO_MANY_OPEN_ORDERS", StatusCode.FAILED_PRECONDITION, 409, False,
        "At most 200 orders of one user may be open in one market. Cancel some first.",
    )  # fmt: skip
    SLIPPAGE_EXCEEDED = (
        "SLIPPAGE_EXCEEDED", StatusCode.FAILED_PRECONDITION, 409, False,
        "The order would fill at a price further from the expected one than max_slippage_bps allows. The answer "
        "says what it would cost and which bound would pass.",
    )  # fmt: skip
    POST_ONLY_WOULD_TAKE = (
        "POST_ONLY_WOULD_TAKE", StatusCode.FAILED_PRECONDITION, 409, False,
        "A post-only order must rest, and this one would fill at once. Choose a price further away.",
    )  # fmt: skip
    FOK_NOT_FILLABLE = (
        "FOK_NOT_FILLABLE", StatusCode.FAILED_PRECONDITION, 409, False,
        "A fill-or-kill order could not be filled completely within its limit.",
    )  # fmt: skip
    NOTHING_FILLED = (
        "NOTHING_FILLED", StatusCode.FAILED_PRECONDITION, 409, False,
        "A market or immediate-or-cancel order met nothing within its limit.",
    )  # fmt: skip
    SELF_TRADE = (
        "SELF_TRADE", StatusCode.FAILED_PRECONDITION, 409, False,
        "The order would first meet an open order of your own. Cancel that one, or ask for cancel_maker.",
    )  # fmt: skip
    TREASURY_SHORTFALL = (
        "TREASURY_SHORTFALL", StatusCode.FAILED_PRECONDITION, 409, False,
        "What the market and its treasury can pay does not cover what is owed. The answer states the shortfall; an "
        "administrator may fund the treasury or ask for pro_rata.",
    )  # fmt: skip
    GRANTS_EXHAUSTED = (
        "GRANTS_EXHAUSTED", StatusCode.FAILED_PRECONDITION, 409, False,
        "All points ever granted together may not exceed 9,000,000,000 Points, so that every sum stays exact in a "
        "browser. `left_micros` says what may still be granted; take points back with a CORRECTION first.",
    )  # fmt: skip
    MARKET_THROTTLED = (
        "MARKET_THROTTLED", StatusCode.RESOURCE_EXHAUSTED, 429, True,
        "The market is catching up with its own work. Try again in a moment.",
    )  # fmt: skip

    # the same request twice
    IDEMPOTENCY_KEY_REUSED = (
        "IDEMPOTENCY_KEY_REUSED", StatusCode.INVALID_ARGUMENT, 422, False,
        "The idempotency key or client_order_id was used for another request. Nothing was done; use a new key.",
    )  # fmt: skip
    IDEMPOTENCY_IN_FLIGHT = (
        "IDEMPOTENCY_IN_FLIGHT", StatusCode.ABORTED, 409, True,
        "A request with this key is being worked on. Try again in a moment to receive its answer.",
    )  # fmt: skip
    CONCURRENT_CHANGE = (
        "CONCURRENT_CHANGE", StatusCode.ABORTED, 409, True,
        "Somebody else changed it at the same time. Read it again, then decide again.",
    )  # fmt: skip

    # the state of the system
    NOT_SHARD_OWNER = (
        "NOT_SHARD_OWNER", StatusCode.UNAVAILABLE, 503, True,
        "Another process owns the market's shard; the answer names it. Ask ListShards again.",
    )  # fmt: skip
    OVERLOADED = (
        "OVERLOADED", StatusCode.RESOURCE_EXHAUSTED, 503, True,
        "The service has as much waiting work as it accepts. Nothing was done; try again with a growing delay.",
    )  # fmt: skip
    RATE_LIMITED = (
        "RATE_LIMITED", StatusCode.RESOURCE_EXHAUSTED, 429, True,
        "More requests came than the limit allows. Retry-After says when the next is admitted.",
    )  # fmt: skip
    RESUME_UNAVAILABLE = (
        "RESUME_UNAVAILABLE", StatusCode.OUT_OF_RANGE, 409, False,
        "The events asked for are no longer (or not yet) there. Read the state anew and go on from it.",
    )  # fmt: skip
    UNAVAILABLE = (
        "UNAVAILABLE", StatusCode.UNAVAILABLE, 503, True,
        "Something the service needs is away. Try again; a write with the same key has one effect at most.",
    )  # fmt: skip
    DEADLINE_EXCEEDED = (
        "DEADLINE_EXCEEDED", StatusCode.DEADLINE_EXCEEDED, 504, True,
        "No answer came in time. A write may have happened: repeat it with the same key to learn its outcome.",
    )  # fmt: skip
    INTERNAL = (
        "INTERNAL", StatusCode.INTERNAL, 500, False,
        "A defect on our side. Quote the trace_id when you report it.",
    )  # fmt: skip


def as_markdown() -> str:
    """The page `docs/errors.md`; `make docs` writes it, a test compares it."""
    lines = [
        "# Error codes",
        "",
        "The same on gRPC (`google.rpc.ErrorInfo.reason`, domain `predmarket`), REST (`code` of the problem document)",
        'and WebSocket (`code`). "Retry" means that the same request may succeed later by itself. Made by `make docs`',
        "from `runtime/error_codes.py`.",
        "",
    ]
    for code in ErrorCode:
        retry = "yes" if code.retryable else "no"
        lines += [
            f"## {code}",
            "",
            f"HTTP {code.http_status}, gRPC {code.grpc_status.name}, retry: {retry}.",
            "",
            code.help,
            "",
        ]
    return "\n".join(lines)
