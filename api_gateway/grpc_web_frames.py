"""The bytes of gRPC-Web: frames of a flag byte, four of length, and a payload; in base64 for clients of text. Pure.

The last frame holds the trailers as text. A request is one message in one frame.
"""

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from runtime.errors import ApiError, ErrorCode, to_rpc_status

MESSAGE_MAX_BYTES: Final = 1024 * 1024
HEADER: Final = struct.Struct(">BI")
BODY_MAX_BYTES: Final = (MESSAGE_MAX_BYTES + HEADER.size + 2) // 3 * 4
"""What the largest message takes as text."""

DATA: Final = 0x00
TRAILERS: Final = 0x80
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS: Final = {"H": 3_600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def message_of(body: bytes, *, is_text: bool) -> bytes:
    """The one message of a request. Raises MALFORMED_REQUEST or PAYLOAD_TOO_LARGE."""
    if is_text:
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise _malformed("the body is not base64") from None
    if len(body) < HEADER.size:
        raise _malformed("the body is shorter than a frame")
    flags, length = HEADER.unpack_from(body)
    if flags != DATA:
        raise _malformed("the frame is compressed, or of a kind that requests do not have")
    if length > MESSAGE_MAX_BYTES:
        raise ApiError(ErrorCode.PAYLOAD_TOO_LARGE)
    if length != len(body) - HEADER.size:
        raise _malformed("the body is not exactly one frame")
    return body[HEADER.size :]


def frame(payload: bytes, flags: int = DATA) -> bytes:
    """A message, or the trailers, on the wire."""
    return HEADER.pack(flags, len(payload)) + payload


def trailers_of(error: ApiError | None) -> dict[str, str]:
    """How a call ended; None: well."""
    if error is None:
        return {"grpc-status": "0"}
    details = base64.b64encode(to_rpc_status(error).SerializeToString()).rstrip(b"=")
    return {
        "grpc-status": str(error.code.grpc_status.value[0]),
        "grpc-message": quote(error.message, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}~"),
        "grpc-status-details-bin": details.decode(),
    }


def trailer_frame(trailers: dict[str, str]) -> bytes:
    """The last frame."""
    return frame("".join(f"{name}:{value}\r\n" for name, value in trailers.items()).encode(), TRAILERS)


def encoded(frames: Iterable[bytes], *, is_text: bool) -> bytes:
    """Frames that are sent together."""
    joined = b"".join(frames)
    return base64.b64encode(joined) if is_text else joined


def timeout_seconds(header: str | None, *, default: float, longest: float) -> float:
    """Of `grpc-timeout`, such as `500m`; longer ones are cut. Raises MALFORMED_REQUEST."""
    if header is None:
        return min(default, longest)
    match = _TIMEOUT.fullmatch(header)
    if match is None:
        raise _malformed("grpc-timeout is up to eight digits and one of H M S m u n")
    return min(int(match[1]) * _UNIT_SECONDS[match[2]], longest)


def _malformed(message: str) -> ApiError:
    return ApiError(ErrorCode.MALFORMED_REQUEST, message)
