"""Every error a client can meet, declared once: code, gRPC status, HTTP status, whether a retry may help, what to do.

`ApiError` is the one exception services raise at the edge. On gRPC it travels as google.rpc.Status with an
ErrorInfo(reason=code, domain="predmarket"), on REST as problem+json, on the WebSocket as an `error` frame.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from runtime.error_codes import ErrorCode

__all__ = ["DOMAIN", "ApiError", "ErrorCode", "FieldError", "NoAnswer", "from_rpc_error", "to_rpc_status"]

DOMAIN = "predmarket"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
# Trailing metadata beyond 8 KiB is refused by many clients and proxies.
MESSAGE_MAX_CHARACTERS = 500
DETAIL_MAX_CHARACTERS = 1_000
DETAILS_MAX = 20
_DETAIL_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field: an RFC 6901 pointer into the body (`/price_micros`) and what is wrong with it."""

    pointer: str
    detail: str


class ApiError(Exception):
    """A no with a stable code. `message` and `details` are shown to the caller: never put an exception's text there.

    Details are plain facts a program can use (`required_micros=5`), carried as strings.
    """

    def __init__(
        self, code: ErrorCode, message: str = "", *, fields: Sequence[FieldError] = (), **details: str | int
    ) -> None:
        assert len(details) <= DETAILS_MAX
        self.code = code
        self.message = _clean(message or code.help, MESSAGE_MAX_CHARACTERS)
        self.fields = tuple(fields)
        self.details: Mapping[str, str] = {
            key: _clean(str(value), DETAIL_MAX_CHARACTERS)
            for key, value in details.items()
            if _DETAIL_KEY.fullmatch(key)
        }
        super().__init__(f"{code}: {self.message}")

    def problem(self, trace_id: str) -> dict[str, Any]:
        """The body of an RFC 9457 answer. The HTTP status is `code.http_status`."""
        body: dict[str, Any] = {
            **self.details,
            "type": f"urn:predmarket:error:{self.code.lower().replace('_', '-')}",
            "title": self.code.summary,
            "status": self.code.http_status,
            "detail": self.message,
            "code": str(self.code),
            "retryable": self.code.retryable,
            "trace_id": trace_id,
        }
        if self.fields:
            body["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in self.fields]
        return body


class NoAnswer(ApiError):
    """A call that the other side said nothing to: nobody listens, the connection broke, or the time was over.

    Whether anything was done is unknown.
    """


def to_rpc_status(error: ApiError) -> status_pb2.Status:
    """The error as gRPC carries it."""
    info = error_details_pb2.ErrorInfo(reason=str(error.code), domain=DOMAIN, metadata=error.details)
    status = status_pb2.Status(code=error.code.grpc_status.value[0], message=error.message)
    status.details.append(_packed(info))
    if error.fields:
        bad_request = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=field.pointer, description=field.detail)
                for field in error.fields
            ]
        )
        status.details.append(_packed(bad_request))
    return status


def trailing_metadata(error: ApiError) -> tuple[tuple[str, bytes], ...]:
    """What goes beside code and message of an aborted call."""
    return ((STATUS_DETAILS_KEY, to_rpc_status(error).SerializeToString()),)


def from_rpc_error(error: grpc.aio.AioRpcError) -> ApiError:
    """The ApiError a called service raised; for an answer that carries none, the nearest code, without its text."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            known = from_rpc_status(status_pb2.Status.FromString(value))
            if known is not None:
                return known
    kind = NoAnswer if error.code() in _UNANSWERED else ApiError
    return kind(_BY_STATUS.get(error.code(), ErrorCode.INTERNAL))


def from_rpc_status(status: status_pb2.Status) -> ApiError | None:
    """None when the status carries no ErrorInfo of ours."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    found = False
    for detail in status.details:
        found = detail.Unpack(info) or found
        detail.Unpack(bad_request)
    if not found or info.domain != DOMAIN or info.reason not in ErrorCode.__members__:
        return None
    fields = [FieldError(item.field, item.description) for item in bad_request.field_violations]
    return ApiError(ErrorCode[info.reason], status.message, fields=fields, **dict(info.metadata))


_UNANSWERED = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
)
_BY_STATUS: Mapping[grpc.StatusCode, ErrorCode] = {
    grpc.StatusCode.UNAVAILABLE: ErrorCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: ErrorCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ErrorCode.OVERLOADED,
    grpc.StatusCode.UNAUTHENTICATED: ErrorCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED: ErrorCode.FORBIDDEN,
    grpc.StatusCode.INVALID_ARGUMENT: ErrorCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED: ErrorCode.NOT_FOUND,
    grpc.StatusCode.NOT_FOUND: ErrorCode.NOT_FOUND,
}


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _clean(text: str, characters_max: int) -> str:
    """Valid UTF-8 of bounded length: what clients sent us may stand in it."""
    return text[:characters_max].encode("utf-8", "replace").decode("utf-8")
