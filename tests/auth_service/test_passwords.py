"""Which passwords are accepted."""

import time

import pytest

from auth_service.identity import BadField
from auth_service.passwords import clean_new_password, clean_offered_password, common_words, is_common


@pytest.mark.parametrize("length", [8, 9, 63, 64])
def test_eight_to_sixty_four_characters_are_accepted(length: int) -> None:
    password = ("kV7#qLm2" * 8)[:length] if length > 16 else "kV7#qLm2w"[:length]
    assert clean_new_password(password[:-1] + "~") == password[:-1] + "~"


@pytest.mark.parametrize("length", [0, 1, 7, 65, 1_000, 1_001, 1_000_000])
def test_shorter_and_longer_ones_are_refused(length: int) -> None:
    with pytest.raises(BadField) as refused:
        clean_new_password("é" * length)
    assert refused.value.field == "password"


def test_a_megabyte_is_refused_without_work() -> None:
    began = time.perf_counter()
    with pytest.raises(BadField):
        clean_new_password("\N{ANGSTROM SIGN}" * 1_000_000)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("bad", ["\0", "\n", "\x7f", "\x85", "\ud800", "\udfff\ud800"])
def test_control_characters_and_lone_surrogates_are_refused(bad: str) -> None:
    for clean in (clean_new_password, clean_offered_password):
        with pytest.raises(BadField):
            clean(f"kV7#qLm2w{bad}")


def test_characters_are_counted_after_normalising() -> None:
    decomposed = "e\N{COMBINING ACUTE ACCENT}"
    with pytest.raises(BadField):
        clean_new_password("zK#4" + decomposed * 3)  # ten code points, seven characters
    assert clean_new_password("zK#4q" + decomposed * 3) == "zK#4qééé"


def test_the_same_password_typed_on_two_keyboards_is_the_same() -> None:
    assert clean_offered_password("cafe\N{COMBINING ACUTE ACCENT}") == clean_offered_password("café")


def test_blanks_and_any_letters_may_be_in_a_password() -> None:
    for password in (
        "correct horse battery",
        "пароль-из-ящика",
        "密码密码很长的密码",
        " kV7#qLm2 ",
        "🐎🔋📎🐎🔋🔋📎📎📎",
    ):
        assert clean_new_password(password) == password


@pytest.mark.parametrize(
    "password",
    [
        "password", "Password", "PASSWORD1", "P@ssw0rd!", "passw0rd", "qwertyuiop", "1q2w3e4r5t", "iloveyou",
        "12345678", "123456789", "87654321", "aaaaaaaa", "abcdefgh", "zyxwvuts", "12121212", "hellohello",
        "monkey2024", "!dragon!", "1password", "sunshine99", "football#1", "trustno1", "superman", "letmein123",
        "Admin1234", "welcome1", "abcabcabc", "qazwsxedc", "11111111", "00000000", "michael1985", "liverpool",
        "starwars", "princess1", "baseball!", "chelsea2020", "contraseña", "Passwort1", "pokemon123", "lovelove",
    ],
)  # fmt: skip
def test_the_commonest_are_refused_in_every_disguise(password: str) -> None:
    with pytest.raises(BadField, match="too easy to guess"):
        clean_new_password(password)


@pytest.mark.parametrize("password", ["kV7#qLm2w", "monkey-tractor-92", "lavender heist", "dragonflymonkey"])
def test_other_words_together_are_not_common(password: str) -> None:
    assert not is_common(password)


def test_what_is_known_of_the_account_is_refused() -> None:
    with pytest.raises(BadField):
        clean_new_password("Zuzanna.Wer@example.org", known_words=("zuzanna.wer@example.org",))


def test_the_list_holds_what_its_first_line_says() -> None:
    assert len(common_words()) == 3_080
    assert all(word == word.lower() and word for word in common_words())


def test_an_offered_password_may_be_one_that_would_not_be_accepted_today() -> None:
    assert clean_offered_password("x") == "x"
    for impossible in ("", "x" * 65, "x" * 1_000_000):
        with pytest.raises(BadField):
            clean_offered_password(impossible)
