"""E-mail addresses, display names, user agents."""

from uuid import UUID

import pytest

from auth_service.identity import (
    BadField,
    clean_display_name,
    clean_email,
    clean_user_agent,
    neutral_display_name,
)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  Ada@Example.ORG ", "Ada@example.org"),
        ("a.b+c_d-e@sub.example.co", "a.b+c_d-e@sub.example.co"),
        ("x@a.io", "x@a.io"),
        (f"{'l' * 64}@example.org", f"{'l' * 64}@example.org"),
        ("o'hara@example.org", "o'hara@example.org"),
    ],
)
def test_addresses_are_kept_as_typed_but_for_the_domain(typed: str, kept: str) -> None:
    assert clean_email(typed) == kept


@pytest.mark.parametrize(
    "bad",
    [
        "", " ", "@", "a@", "@b.c", "ada", "ada@localhost", "ada@@example.org", "a b@example.org", ".a@example.org",
        "a.@example.org", "a..b@example.org", "ada@-example.org", "ada@example-.org", "ada@example..org",
        "ada@example.org.", "ada@[127.0.0.1]", '"a b"@example.org', "ada@example.org\n", "ada\0@example.org",
        "ada@exämple.org", "ädа@example.org", "ada@example.org\u202e", "\ud800@example.org", "ada@example.org,b@c.de",
        f"{'l' * 65}@example.org", f"ada@{'d' * 64}.org", f"a@{'d.' * 130}org", "a" * 1_000_000,
        "<ada@example.org>", "ada@example.org'; DROP TABLE users; --", "=cmd|'/c calc'!A1@example org",
    ],
)  # fmt: skip
def test_what_is_not_an_address_is_refused(bad: str) -> None:
    with pytest.raises(BadField) as refused:
        clean_email(bad)
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Ada", "Ada"),
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("Jose\N{COMBINING ACUTE ACCENT}", "José"),
        ("שלום", "שלום"),
        ("🐎 rider", "🐎 rider"),
        ("x" * 50, "x" * 50),
        ("=1+1", "=1+1"),
    ],
)
def test_names_in_any_script_are_accepted(typed: str, kept: str) -> None:
    assert clean_display_name(typed) == kept


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "   ",
        "x" * 51,
        "x" * 1_000_000,
        "a\0b",
        "a\nb",
        "a\u200bb",
        "\u202eevil",
        "a\ud800",
        "\ufeff",
        "a\u2028b",
    ],
)
def test_names_that_cannot_be_seen_are_refused(bad: str) -> None:
    with pytest.raises(BadField) as refused:
        clean_display_name(bad)
    assert refused.value.field == "display_name"


def test_a_made_up_name_says_nothing_of_the_address() -> None:
    assert neutral_display_name(UUID("018f0000-0000-7000-8000-0000deadbeef")) == "trader-deadbeef"


def test_a_user_agent_is_cut_and_cleaned_but_never_refused() -> None:
    assert clean_user_agent("") == ""
    assert clean_user_agent("curl/8.5\r\n\x1b[31m") == "curl/8.5 [31m"
    assert clean_user_agent("\ud800\u202ex") == "x"
    assert clean_user_agent("é" * 1_000_000) == "é" * 200
