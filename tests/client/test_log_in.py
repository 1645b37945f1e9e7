"""Logging in, staying logged in, and what a lost refresh costs."""

import asyncio

import pytest

from predmarket_client import ApiError, Client
from tests.auth_service.support import PASSWORD
from tests.client.support import Clients


async def test_it_registers_logs_in_renames_and_logs_out(clients: Clients) -> None:
    ann = await clients("ann")
    assert (await ann.accounts.me()).display_name == "ann"
    assert (await ann.accounts.rename("Ann")).display_name == "Ann"
    await ann.accounts.log_out()
    assert (await ann.accounts.me()).display_name == "Ann"  # logged in again by itself
    async with Client(clients.suite.url, email="ann@example.org", password="wrong horse") as stranger:
        with pytest.raises(ApiError, match="INVALID_CREDENTIALS"):
            await stranger.accounts.me()


async def test_a_token_alone_serves_until_it_is_refused(clients: Clients) -> None:
    ann = await clients("ann")
    session = await ann.accounts.log_in("ann@example.org", PASSWORD)
    tokens = await ann.accounts.refresh(session.refresh_token)
    async with Client(clients.suite.url, token=tokens.access_token) as bearer:
        assert (await bearer.accounts.me()).user_id == session.user.user_id
    async with Client(clients.suite.url, token="x.y.z") as forged:
        with pytest.raises(ApiError, match="UNAUTHENTICATED"):
            await forged.accounts.me()


async def test_calls_at_the_same_time_share_one_refresh_before_the_token_expires(
    short_lived: Clients,
) -> None:
    ann = await short_lived("ann")
    first = await ann._caller.credentials.authorization()
    await asyncio.sleep(2.5)  # of the 3 s a token lives; it is renewed after four fifths
    await asyncio.gather(*(ann.accounts.me() for _ in range(20)))
    second = await ann._caller.credentials.authorization()
    assert second != first
    assert await short_lived.count("sessions") == 1  # refreshed, not begun anew


async def test_a_refused_token_is_renewed_once_and_the_call_repeated(short_lived: Clients) -> None:
    ann = await short_lived("ann")
    credentials = ann._caller.credentials
    credentials._renew_at = float("inf")  # type: ignore[attr-defined]  # as if our clock stood still
    await asyncio.sleep(4)
    assert len({(await each).user_id for each in [ann.accounts.me() for _ in range(3)]}) == 1


async def test_after_a_lost_refresh_it_logs_in_again(short_lived: Clients) -> None:
    ann = await short_lived("ann")
    credentials = ann._caller.credentials
    used = credentials._tokens  # type: ignore[attr-defined]
    await ann.accounts.refresh(used.refresh_token)  # the answer of this one never reaches the credentials
    await asyncio.sleep(4)
    assert (await ann.accounts.me()).email == "ann@example.org"
