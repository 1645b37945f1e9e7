"""A gRPC-Web client of the bytes alone, written apart from the gateway's own code."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import aiohttp
from google.rpc import error_details_pb2, status_pb2

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
ORDERS = "/predmarket.order.v1.OrderService"


@dataclass(slots=True)
class Answer:
    """Everything of a call that has ended."""

    http_status: int
    headers: Mapping[str, str]
    messages: list[bytes]
    trailers: dict[str, str]
    is_trailers_only: bool

    @property
    def status(self) -> int:
        return int(self.trailers["grpc-status"])

    @property
    def message(self) -> str:
        return unquote(self.trailers.get("grpc-message", ""))

    @property
    def code(self) -> str:
        """Ours, from the details."""
        packed = self.trailers["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status.details)
        return str(info.reason)


def framed(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


async def post(
    http: aiohttp.ClientSession,
    url: str,
    path: str,
    request: Any,
    *,
    content_type: str = BINARY,
    raw: bytes | None = None,
    **headers: str,
) -> Answer:
    """`request` a message; `raw` the whole body instead. Headers with `_` for `-`."""
    body = framed(request.SerializeToString()) if raw is None else raw
    if raw is None and "text" in content_type:
        body = base64.b64encode(body)
    sent = {
        "Content-Type": content_type,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    async with http.post(url + path, data=body, headers=sent) as response:
        return parse(response.status, response.headers, await response.read())


def parse(http_status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    trailers = {name: headers[name] for name in headers if name.lower().startswith("grpc-")}
    is_trailers_only = "grpc-status" in headers
    if "text" in headers.get("Content-Type", ""):
        body = decode_chunks(body)
    messages: list[bytes] = []
    if "application/grpc-web" not in headers.get("Content-Type", ""):
        return Answer(http_status, headers, messages, {"grpc-status": "-1"}, is_trailers_only)
    while body:
        flags, length = struct.unpack_from(">BI", body)
        payload, body = body[5 : 5 + length], body[5 + length :]
        assert len(payload) == length
        if flags == 0x80:
            assert not body, "something follows the trailers"
            trailers = dict(line.split(":", 1) for line in payload.decode().split("\r\n") if line)
        else:
            messages.append(payload)
    return Answer(http_status, headers, messages, trailers, is_trailers_only)


def decode_chunks(body: bytes) -> bytes:
    """Base64 that may be padded wherever the server wrote a piece."""
    assert len(body) % 4 == 0
    return b"".join(base64.b64decode(body[at : at + 4], validate=True) for at in range(0, len(body), 4))
