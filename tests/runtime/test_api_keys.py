"""API keys and ended tokens at a verifier, with an authority that can be slow, wrong or away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from runtime import api_keys, token_changes
from runtime.clock import ManualClock
from runtime.credentials import Subject, TokenChange, TokenChanges
from runtime.errors import ApiError, ErrorCode
from runtime.identity import READ, TRADE, Identity
from runtime.tokens import TokenVerifier

USER = "0191e8a0-0000-7000-8000-000000000001"
KEY_ID = "0191e8a0-0000-7000-8000-0000000000aa"
NOW = 1_700_000_000
KEY = "pmk_" + "0" * 32 + "_" + "A" * 43
UNKNOWN = "pmk_" + "0" * 32 + "_" + "B" * 43


def identity(**changes: object) -> Identity:
    fields: dict[str, object] = {
        "user_id": USER,
        "role": "user",
        "session_id": "",
        "token_id": KEY_ID,
        "expires_at_seconds": NOW + 100_000,
        "scopes": frozenset({READ}),
        "tier": "standard",
        "api_key_id": KEY_ID,
        "version": 0,
    }
    return Identity(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass
class Authority:
    """Knows the keys it is given; `away`: answers UNAVAILABLE, `gate`: waits for it first."""

    keys: dict[str, Identity] = field(default_factory=lambda: {KEY: identity()})
    asked: list[str] = field(default_factory=list)
    away: bool = False
    gate: asyncio.Event | None = None
    pages: list[TokenChanges] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)

    async def api_key(self, api_key: str) -> Identity:
        self.asked.append(api_key)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise ApiError(ErrorCode.UNAVAILABLE)
        if api_key not in self.keys:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return self.keys[api_key]

    async def token_changes(self, cursor: str) -> TokenChanges:
        self.cursors.append(cursor)
        if self.away:
            raise ApiError(ErrorCode.UNAVAILABLE)
        if cursor == "forged":
            raise ApiError(ErrorCode.INVALID_ARGUMENT)
        return self.pages.pop(0) if self.pages else TokenChanges([], cursor or "0", False)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW * 1_000_000)


@pytest.fixture
async def verifier(authority: Authority, clock: ManualClock) -> AsyncIterator[TokenVerifier]:
    verifier = TokenVerifier(
        jwks_url="http://127.0.0.1:1", issuer="i", audience="a", authority=authority, clock=clock
    )
    yield verifier
    await verifier.close()


async def code_of(verifier: TokenVerifier, key: str) -> ErrorCode | None:
    try:
        await verifier.identity(f"Bearer {key}")
    except ApiError as error:
        return error.code
    return None


async def settled() -> None:
    """Lets questions in the background end."""
    for _ in range(20):
        await asyncio.sleep(0)


def change(subject: Subject, subject_id: str, version: int = 0, until: int = 2**60) -> TokenChange:
    return TokenChange(subject, subject_id, version, until)


async def test_a_key_is_asked_about_once_and_remembered_for_seconds(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    for _ in range(3):
        assert await verifier.identity(f"Bearer {KEY}") == identity()
    assert authority.asked == [KEY]
    clock.advance(api_keys.KNOWN_SECONDS + 0.1)
    await verifier.identity(f"Bearer {KEY}")
    assert len(authority.asked) == 2


async def test_concurrent_questions_about_one_key_are_one(
    authority: Authority, verifier: TokenVerifier
) -> None:
    authority.gate = asyncio.Event()
    asking = [asyncio.create_task(verifier.identity(f"Bearer {KEY}")) for _ in range(50)]
    await settled()
    asking[0].cancel()  # who asked first gives up; the others still get their answer
    authority.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[1:] == [identity()] * 49
    assert authority.asked == [KEY]


async def test_a_key_in_use_is_asked_about_in_the_background(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    await verifier.identity(f"Bearer {KEY}")
    clock.advance(api_keys.ASK_AGAIN_SECONDS + 0.1)
    authority.gate = asyncio.Event()
    async with asyncio.timeout(5):  # does not wait for the answer
        await verifier.identity(f"Bearer {KEY}")
    del authority.keys[KEY]
    authority.gate.set()
    await settled()
    assert await code_of(verifier, KEY) is ErrorCode.UNAUTHENTICATED


async def test_an_unknown_key_is_remembered_for_a_moment(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    for _ in range(3):
        assert await code_of(verifier, UNKNOWN) is ErrorCode.UNAUTHENTICATED
    assert authority.asked == [UNKNOWN]
    authority.keys[UNKNOWN] = identity()
    clock.advance(api_keys.UNKNOWN_SECONDS + 0.1)
    assert await code_of(verifier, UNKNOWN) is None


async def test_wrong_keys_displace_no_right_one_and_both_are_bounded(
    authority: Authority, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "REMEMBERED_MAX", 10)
    await verifier.identity(f"Bearer {KEY}")
    for number in range(100):
        await code_of(verifier, f"pmk_{number:032x}_" + "C" * 43)
    asked = len(authority.asked)
    await verifier.identity(f"Bearer {KEY}")
    assert len(authority.asked) == asked
    assert len(verifier._api_keys._unknown) == 10


async def test_more_questions_than_are_allowed_at_once_are_refused(
    authority: Authority, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "QUESTIONS_MAX", 3)
    authority.gate = asyncio.Event()
    asking = [asyncio.create_task(code_of(verifier, f"pmk_{number:032x}_" + "C" * 43)) for number in range(8)]
    await settled()
    authority.gate.set()
    codes = await asyncio.gather(*asking)
    assert codes.count(ErrorCode.OVERLOADED) == 5


async def test_while_the_authority_is_away_a_known_key_works_for_minutes_and_an_unknown_one_must_wait(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    await verifier.identity(f"Bearer {KEY}")
    authority.away = True
    clock.advance(60)
    assert await code_of(verifier, KEY) is None
    assert await code_of(verifier, UNKNOWN) is ErrorCode.UNAVAILABLE
    clock.advance(api_keys.GRACE_SECONDS)
    assert await code_of(verifier, KEY) is ErrorCode.UNAVAILABLE
    authority.away = False
    assert await code_of(verifier, KEY) is None


async def test_after_a_failure_nobody_waits_for_the_next_question(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    await verifier.identity(f"Bearer {KEY}")
    clock.advance(10)
    authority.away = True
    await verifier.identity(f"Bearer {KEY}")
    authority.gate = asyncio.Event()  # now it hangs
    async with asyncio.timeout(5):
        await verifier.identity(f"Bearer {KEY}")
    authority.gate.set()


async def test_a_key_known_to_be_revoked_gets_no_grace(authority: Authority, verifier: TokenVerifier) -> None:
    await verifier.identity(f"Bearer {KEY}")
    authority.away = True
    verifier.changes.apply(change(Subject.API_KEY, KEY_ID))
    assert await code_of(verifier, KEY) is ErrorCode.UNAVAILABLE


async def test_a_key_whose_owner_changed_is_asked_about_again(
    authority: Authority, verifier: TokenVerifier
) -> None:
    await verifier.identity(f"Bearer {KEY}")
    authority.keys[KEY] = identity(role="analyst", version=1)
    verifier.changes.apply(change(Subject.USER, USER, 1))
    assert (await verifier.identity(f"Bearer {KEY}")).role == "analyst"


async def test_an_expired_key_is_not_used_from_memory(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock
) -> None:
    authority.keys[KEY] = identity(expires_at_seconds=NOW + 1)
    await verifier.identity(f"Bearer {KEY}")
    del authority.keys[KEY]
    clock.advance(1.1)
    assert await code_of(verifier, KEY) is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "key", ["pmk_", KEY + "A", KEY[:-1], KEY.upper(), KEY.replace("_A", "_é"), "pmk_" + "A" * 5_000]
)
async def test_what_cannot_be_a_key_is_not_even_asked_about(
    authority: Authority, verifier: TokenVerifier, key: str
) -> None:
    assert await code_of(verifier, key) is ErrorCode.UNAUTHENTICATED
    assert authority.asked == []


async def test_without_an_authority_keys_are_refused(clock: ManualClock) -> None:
    alone = TokenVerifier(jwks_url="http://127.0.0.1:1", issuer="i", audience="a", clock=clock)
    assert await code_of(alone, KEY) is ErrorCode.UNAUTHENTICATED
    await alone.follow()  # nothing to follow
    await alone.close()


def test_scopes_and_people_are_told_apart() -> None:
    key = identity()
    key.require_scope(READ)
    refusals: tuple[Callable[[], None], ...] = (lambda: key.require_scope(TRADE), key.require_person)
    for forbidden in refusals:
        with pytest.raises(ApiError) as refused:
            forbidden()
        assert refused.value.code is ErrorCode.FORBIDDEN
    person = Identity(USER, "user", "s1", "t1", NOW + 900)
    person.require_scope(READ)
    person.require_scope(TRADE)
    person.require_person()


def test_changes_end_what_they_are_about_and_nothing_else(verifier: TokenVerifier) -> None:
    old = Identity(USER, "user", "s1", "t1", NOW + 900, version=2)
    other = Identity(USER, "user", "s2", "t2", NOW + 900, version=3)
    assert verifier.still_holds(old)
    verifier.changes.apply(change(Subject.USER, USER, 3))
    assert (verifier.still_holds(old), verifier.still_holds(other)) == (False, True)
    verifier.changes.apply(change(Subject.USER, USER, 1))  # comes late, changes nothing
    assert not verifier.still_holds(old)
    verifier.changes.apply(change(Subject.SESSION, "s2"))
    assert not verifier.still_holds(other)


async def test_the_feed_is_read_page_by_page_and_from_the_start_when_its_cursor_is_refused(
    authority: Authority, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_changes, "ASK_SECONDS", 0.01)
    authority.pages = [
        TokenChanges([change(Subject.SESSION, "s1")], "1", True),
        TokenChanges([change(Subject.SESSION, "s2")], "forged", False),
    ]
    following = asyncio.create_task(verifier.follow())
    async with asyncio.timeout(10):
        while len(authority.cursors) < 5:
            await asyncio.sleep(0.01)
    authority.away = True
    asked = len(authority.cursors)
    async with asyncio.timeout(10):
        while len(authority.cursors) < asked + 2:  # goes on asking
            await asyncio.sleep(0.01)
    following.cancel()
    assert authority.cursors[:5] == ["", "1", "forged", "", "0"]
    for session_id in ("s1", "s2"):
        assert verifier.changes.is_over(Identity(USER, "user", session_id, "t", NOW + 900))


async def test_changes_are_forgotten_when_they_no_longer_matter(
    authority: Authority, verifier: TokenVerifier, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_changes, "ASK_SECONDS", 0.01)
    verifier.changes.apply(change(Subject.SESSION, "s1", until=(NOW + 10) * 1_000_000))
    verifier.changes.apply(change(Subject.SESSION, "s2", until=(NOW + 10_000) * 1_000_000))
    clock.advance(token_changes.SWEEP_SECONDS + 1)
    following = asyncio.create_task(verifier.follow())
    ended = Identity(USER, "user", "s1", "t", NOW + 900)
    async with asyncio.timeout(10):
        while verifier.changes.is_over(ended):
            await asyncio.sleep(0.01)
    following.cancel()
    assert verifier.changes.is_over(Identity(USER, "user", "s2", "t", NOW + 900))
