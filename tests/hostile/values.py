"""What clients send that they should not: values of JSON and protobuf, bodies, credentials. By a seeded `Random`."""

import base64
import json
import random
from collections.abc import Sequence
from typing import Any, Final

UUIDS: Final = (
    "urn:uuid:0190a000-0000-7000-8000-000000000001",
    "{0190a000-0000-7000-8000-000000000001}",
    "0190a00000007000800000000000000f",
    "0190A000-0000-7000-8000-00000000000A",
    "0190a000-0000-7000-8000-00000000000１",
    "../../etc/passwd",
)
TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "\u202eevil\u200b", "１２３", "'; DROP TABLE users; --", '=HYPERLINK("x")', "%s%n{0}",
    "\r\nX-Injected: 1", "yes", "2", "BUY\n", "x" * 300, "é" * 5_000, *UUIDS,
)  # fmt: skip
INTEGERS: Final = (
    -1, 0, 1, 99, 999, 10_001, 2**31 - 1, 2**31, -(2**31) - 1, 10**15, 10**15 + 1, 2**53 + 1, 2**63 - 1, -(2**63),
)  # fmt: skip
JSON_NUMBERS: Final = (
    "NaN", "Infinity", "-Infinity", "1e400", "1000.0", "1e3", "-0", "01", "9" * 5_000, str(2**63), str(2**64), "0x10",
)  # fmt: skip
JSON_REST: Final = (
    "true", "null", "[]", "{}", '"\\ud800"', '"\\u0000"', "[" * 20_000, '{"a":' * 5_000, '{"a":1,"a":2}', "'x'", "",
)  # fmt: skip
BODIES: Final = (
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"{" * 30_000, b'{"orders": 5}', b"\x1f\x8b\x08\x00junk", b"a=b&c=d",
    b"\x00" * 100, b'{"a": 1} {"b": 2}', b"\xef\xbb\xbf{}", b" " * 70_000,
)  # fmt: skip
SMUGGLED: Final = ("role", "balance", "user_id", "available_micros", "__proto__", "is_admin", "x\x00y")


def json_fragment(chance: random.Random) -> str:
    """The text of one JSON value, or of what is none."""
    kind = chance.random()
    if kind < 0.3:
        return json.dumps(chance.choice(TEXTS))
    if kind < 0.6:
        return str(chance.choice(INTEGERS))
    return chance.choice(JSON_NUMBERS if kind < 0.8 else JSON_REST)


def json_body(chance: random.Random, good: dict[str, Any]) -> bytes:
    """A good body with one to three things wrong, or none at all."""
    if chance.random() < 0.15:
        return chance.choice(BODIES)
    parts = {name: json.dumps(value) for name, value in good.items()}
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(SMUGGLED) if chance.random() < 0.2 or not good else chance.choice(list(good))
        if chance.random() < 0.15:
            parts.pop(name, None)
        else:
            parts[name] = json_fragment(chance)
    members = [f"{json.dumps(name)}: {text}" for name, text in parts.items()]
    if chance.random() < 0.1:
        members.append(chance.choice(members or ['"a": 1']))
    return ("{" + ", ".join(members) + "}").encode()


def fill(message: Any, chance: random.Random, ids: Sequence[str], depth: int = 0) -> None:
    """Gives a protobuf message values that its types allow and its rules do not."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.3:
            continue
        if field.message_type is not None:
            if not field.message_type.GetOptions().map_entry and depth < 3:
                child = getattr(message, field.name)
                fill(child.add() if field.is_repeated else child, chance, ids, depth + 1)
            continue
        value = _scalar(field, chance, ids)
        if field.is_repeated:
            getattr(message, field.name).extend([value] * chance.choice((1, 2, 600)))
        else:
            setattr(message, field.name, value)


def _scalar(field: Any, chance: random.Random, ids: Sequence[str]) -> Any:
    kind = field.type
    if kind == field.TYPE_STRING:
        return chance.choice(ids) if chance.random() < 0.6 else chance.choice(TEXTS)
    if kind == field.TYPE_BOOL:
        return chance.random() < 0.5
    if kind == field.TYPE_BYTES:
        return chance.choice(BODIES)
    if kind == field.TYPE_ENUM:
        return chance.choice((0, 1, 2, 3, 99, -1))
    if kind in (field.TYPE_INT32, field.TYPE_UINT32):
        return chance.choice([value for value in INTEGERS if 0 <= value < 2**31])
    return chance.choice(INTEGERS if kind == field.TYPE_INT64 else [0, 1, 2**53 + 1])


def damaged(chance: random.Random, message: bytes) -> bytes:
    """The same bytes, one time in three no longer what they were."""
    kind = chance.random()
    if kind < 0.67 or not message:
        return message
    if kind < 0.78:
        return message[: chance.randrange(len(message))]
    if kind < 0.89:
        at = chance.randrange(len(message))
        return message[:at] + bytes([chance.randrange(256)]) + message[at + 1 :]
    # A varint of 2^64-1, invalid UTF-8, a group that never ends, junk.
    return message + chance.choice(
        (b"\x08" + b"\xff" * 9 + b"\x01", b"\x12\x02\xff\xfe", b"\x0b" * 200, b"\xff" * 50)
    )


def credential(chance: random.Random, good: Sequence[str]) -> str | None:
    """An `Authorization`, mostly a good one."""
    kind = chance.random()
    if kind < 0.75:
        return f"Bearer {chance.choice(good)}"
    if kind < 0.82:
        return None
    header, payload, signature = chance.choice(good).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt","kid":"x"}').rstrip(b"=").decode()
    jwk = (
        base64.urlsafe_b64encode(b'{"alg":"EdDSA","typ":"at+jwt","kid":"x","jku":"http://x"}')
        .rstrip(b"=")
        .decode()
    )
    return chance.choice(
        (
            f"Bearer {none}.{payload}.",
            f"Bearer {jwk}.{payload}.{signature}",
            f"Bearer {header}.{payload[:-4]}AAAA.{signature}",
            f"Bearer {header}.{payload}.{signature[::-1]}",
            "Bearer " + "x" * 9_000,
            "Bearer pmk_" + "0" * 32 + "_" + "A" * 43,
            "Basic YTpi",
            "Bearer",
            "",
        )
    )
