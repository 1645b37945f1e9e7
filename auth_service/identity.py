"""What people type about themselves: e-mail addresses and display names, checked and brought to one form."""

import re
import unicodedata
from uuid import UUID

from engine.commands import SYSTEM_ID as ENGINE_SYSTEM_ID
from engine.commands import TREASURY_ID as ENGINE_TREASURY_ID

SYSTEM_ACTOR = UUID(ENGINE_SYSTEM_ID)
"""Who acts when no person does."""

TREASURY_ID = UUID(ENGINE_TREASURY_ID)
"""The account that pays for liquidity; cannot log in."""

EMAIL_MAX_CHARACTERS = 254
"""RFC 5321's longest path, without its angle brackets."""

LOCAL_PART_MAX_CHARACTERS = 64
DISPLAY_NAME_MAX_CHARACTERS = 50
USER_AGENT_MAX_CHARACTERS = 200

RAW_MAX_CHARACTERS = 1_000
"""Longer input is refused before any work is done on it."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")

_UNSHOWABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a glyph of their own: controls, bidi and zero-width marks, surrogates."""


class BadField(ValueError):
    """A field of a request that cannot be accepted; the message is meant for the person who typed it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def clean_email(text: str) -> str:
    """The address without surrounding blanks and with its domain in lower case.

    ASCII only, so that two addresses are the same exactly when they are equal without regard to case.
    Raises BadField.
    """
    address = text[:RAW_MAX_CHARACTERS].strip(" ")
    if len(text) > RAW_MAX_CHARACTERS or len(address) > EMAIL_MAX_CHARACTERS:
        raise BadField("email", f"An e-mail address has at most {EMAIL_MAX_CHARACTERS} characters.")
    local, _, domain = address.rpartition("@")
    if not _EMAIL.fullmatch(address) or len(local) > LOCAL_PART_MAX_CHARACTERS:
        raise BadField("email", "This is not an e-mail address of the form name@example.org.")
    return f"{local}@{domain.lower()}"


def clean_display_name(text: str) -> str:
    """The name in Unicode NFC with single blanks. Raises BadField: no glyph, empty, or too long."""
    return clean_label("display_name", text)


def clean_label(field: str, text: str, characters_max: int = DISPLAY_NAME_MAX_CHARACTERS) -> str:
    """One line of text for people, in Unicode NFC with single blanks. Raises BadField: no glyph, empty, or too
    long."""
    what = field.replace("_", " ")
    if len(text) > RAW_MAX_CHARACTERS:
        raise BadField(field, f"A {what} has at most {characters_max} characters.")
    if any(unicodedata.category(character) in _UNSHOWABLE for character in text):
        raise BadField(field, f"A {what} has no control, invisible or direction-changing characters.")
    label = unicodedata.normalize("NFC", " ".join(text.split()))
    if not 1 <= len(label) <= characters_max:
        raise BadField(field, f"A {what} has 1 to {characters_max} characters.")
    return label


def neutral_display_name(user_id: UUID) -> str:
    """A name for who gave none; nothing of the e-mail address, which is never public."""
    return f"trader-{user_id.hex[-8:]}"


def clean_user_agent(text: str) -> str:
    """What a client calls itself, cut to length and stripped of what a terminal or page would act on."""
    shown = "".join(
        character if unicodedata.category(character) not in _UNSHOWABLE else " "
        for character in text[:RAW_MAX_CHARACTERS]
    )
    return " ".join(shown.split())[:USER_AGENT_MAX_CHARACTERS]
