"""Ids: canonical lower-case UUID strings. New ones are version 7, so that they sort by age."""

import random
import re
import uuid

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_canonical_uuid(text: str) -> bool:
    """True for exactly one spelling of each UUID: lower case, with dashes; no urn, braces or other digits."""
    return _CANONICAL.fullmatch(text) is not None


def parse_uuid(text: str) -> uuid.UUID:
    """The UUID of a canonical spelling. Raises ValueError for every other spelling."""
    if not is_canonical_uuid(text):
        raise ValueError("not a canonical lower-case UUID")
    return uuid.UUID(text)


def uuid7(now_micros: int) -> str:
    """A new id (RFC 9562, version 7): 48 bits of milliseconds, then 74 random bits. A name, not a secret."""
    milliseconds = now_micros // 1_000
    value = (milliseconds & (1 << 48) - 1) << 80 | random.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_request_id() -> str:
    """Names one request in logs and answers. Not a secret, so the quick source will do."""
    return f"{random.getrandbits(128):032x}"
