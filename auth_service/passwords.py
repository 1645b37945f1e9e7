"""Which passwords are accepted: 8..64 characters, nothing invisible, not one of the commonest."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

from auth_service.identity import RAW_MAX_CHARACTERS, BadField

PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_CHARACTERS = 64

DECORATION_MAX_CHARACTERS = 4
"""How many digits and signs at either end leave a common word common: `monkey2024`, `!monkey!`."""

_LOOK_ALIKES = "@4301$5!7"
_AS_LETTERS = (
    str.maketrans(_LOOK_ALIKES, "aaeoissit"),  # 1 and ! for i
    str.maketrans(_LOOK_ALIKES, "aaeolsslt"),  # or for l
)


def clean_new_password(text: str, *, known_words: tuple[str, ...] = ()) -> str:
    """The password as it will be hashed (Unicode NFC, RFC 8265's OpaqueString). Raises BadField.

    `known_words`: what anybody knows of the account, such as its e-mail address; refused like the commonest.
    """
    password = _clean(text)
    if not PASSWORD_MIN_CHARACTERS <= len(password) <= PASSWORD_MAX_CHARACTERS:
        raise BadField(
            "password",
            f"A password has {PASSWORD_MIN_CHARACTERS} to {PASSWORD_MAX_CHARACTERS} characters.",
        )
    if is_common(password) or password.lower() in {word.lower() for word in known_words}:
        raise BadField("password", "This password is too easy to guess: choose another, longer one.")
    return password


def clean_offered_password(text: str) -> str:
    """A password somebody logs in with, in the form that was hashed. Raises BadField if none can be so."""
    password = _clean(text)
    if not 1 <= len(password) <= PASSWORD_MAX_CHARACTERS:
        raise BadField("password", f"A password has at most {PASSWORD_MAX_CHARACTERS} characters.")
    return password


def is_common(password: str) -> bool:
    """Whether it is, or decorates, a listed word; a repetition (`aaaaaaaa`); a run (`abcdefgh`)."""
    lowered = password.lower()
    return (
        _is_repetition(lowered)
        or _is_run(lowered)
        or any(form in common_words() for form in _bare_forms(lowered))
    )


@cache
def common_words() -> frozenset[str]:
    """The checked-in list, `common_passwords.txt`."""
    text = files("auth_service").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def _clean(text: str) -> str:
    # Bounded before it is normalised: normalising a megabyte is work, and no password is that long.
    if len(text) > RAW_MAX_CHARACTERS:
        raise BadField("password", f"A password has at most {PASSWORD_MAX_CHARACTERS} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise BadField("password", "A password has no control characters.")
    return unicodedata.normalize("NFC", text)


def _bare_forms(lowered: str) -> Iterator[str]:
    for form in {lowered, _undecorated(lowered)}:
        yield form
        for letters in _AS_LETTERS:
            yield form.translate(letters)


def _undecorated(lowered: str) -> str:
    core = lowered
    if len(core) - len(core.rstrip(_DECORATION)) <= DECORATION_MAX_CHARACTERS:
        core = core.rstrip(_DECORATION)
    if len(core) - len(core.lstrip(_DECORATION)) <= DECORATION_MAX_CHARACTERS:
        core = core.lstrip(_DECORATION)
    return core


_DECORATION = "0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def _is_repetition(lowered: str) -> bool:
    """One to four characters, or a listed word, over and over (`1212121212`, `hellohellohello`)."""
    for period in range(1, len(lowered) // 2 + 1):
        unit = lowered[:period]
        if (unit * (len(lowered) // period + 1))[: len(lowered)] == lowered:
            return period <= 4 or unit in common_words()
    return False


def _is_run(lowered: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(lowered)}
    return steps in ({1}, {-1})
