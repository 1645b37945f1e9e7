"""Keys, sessions, passwords, tickets, and what administrators do to accounts and the house's points."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from predmarket_client import ApiError, Client, limit, market, micros
from tests.api_gateway.support import run_suite
from tests.auth_service.support import PASSWORD
from tests.client.support import Clients, open_market

NEW_PASSWORD = "long meadow kite"


async def refusal_in_the_end(client: Client) -> str:
    """The code; promised within 5 seconds."""
    async with asyncio.timeout(50):
        while True:
            try:
                await client.accounts.me()
            except ApiError as error:
                return error.code
            await asyncio.sleep(0.1)


async def test_an_api_key_trades_and_reads_until_it_is_revoked(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = await ann.api_keys.create("bot", expires_at=expires_at)
    assert (made.name, made.scopes, made.tier, made.expires_at) == (
        "bot",
        ("read", "trade"),
        "standard",
        expires_at,
    )
    assert made.api_key is not None
    order = limit("BUY", "YES", market_id, price_micros=300_000, quantity_micros=micros(1))
    async with Client(clients.suite.url, token=made.api_key) as bot:
        placed = await bot.orders.place(order)
        assert (await bot.orders.cancel(placed.order_id)).status == "CANCELLED"
        assert (await bot.accounts.me()).email == "ann@example.org"
        with pytest.raises(ApiError, match="FORBIDDEN"):
            await bot.api_keys.create("another")
        assert [key.api_key_id for key in await ann.api_keys.list()] == [made.api_key_id]
        await ann.api_keys.revoke(made.api_key_id)
        assert await refusal_in_the_end(bot) == "UNAUTHENTICATED"
    assert await ann.api_keys.list() == ()


async def test_a_key_that_may_only_read_does_not_trade(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    made = await ann.api_keys.create("reader", scopes=["read"])
    async with Client(clients.suite.url, token=made.api_key) as reader:
        assert (await reader.portfolio.get()).locked_micros == 0
        with pytest.raises(ApiError, match="FORBIDDEN"):
            await reader.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))


async def test_a_key_asked_for_twice_is_made_once_and_told_once(clients: Clients) -> None:
    ann = await clients("ann")
    first = await ann.api_keys.create("bot", idempotency_key="once")
    again = await ann.api_keys.create("bot", idempotency_key="once")
    assert first.api_key is not None
    assert (again.api_key_id, again.api_key) == (first.api_key_id, None)


async def test_what_is_printed_shows_no_secret(clients: Clients) -> None:
    ann = await clients("ann")
    session = await ann.accounts.log_in("ann@example.org", PASSWORD)
    tokens = await ann.accounts.refresh(session.refresh_token)
    key, ticket = await ann.api_keys.create("bot"), await ann.accounts.ws_ticket()
    shown = f"{session} {tokens} {key!r} {ticket!r}"
    for secret in (
        session.access_token,
        session.refresh_token,
        tokens.access_token,
        key.api_key,
        ticket.ticket,
    ):
        assert secret
        assert secret not in shown
    assert f"session_id={session.session_id!r}, user=User(" in shown


async def test_sessions_are_listed_and_ended(clients: Clients) -> None:
    ann = await clients("ann")
    others = [await ann.accounts.log_in("ann@example.org", PASSWORD) for _ in range(3)]
    listed = await ann.sessions.list()
    assert len(listed) == 4
    current = [session.session_id for session in listed if session.current]
    await ann.sessions.end(others[0].session_id)
    with pytest.raises(ApiError, match="REFRESH_TOKEN_INVALID"):
        await ann.accounts.refresh(others[0].refresh_token)
    assert await ann.sessions.end_others() == 2
    assert [session.session_id for session in await ann.sessions.list()] == current


async def test_after_a_changed_password_the_client_goes_on_and_logs_in_with_the_new_one(
    clients: Clients,
) -> None:
    ann = await clients("ann")
    await ann.accounts.log_in("ann@example.org", PASSWORD)
    with pytest.raises(ApiError, match="INVALID_CREDENTIALS"):
        await ann.accounts.change_password("wrong horse", NEW_PASSWORD)
    assert await ann.accounts.change_password(PASSWORD, NEW_PASSWORD) == 1
    assert (await ann.accounts.me()).display_name == "ann"
    await ann.accounts.log_out()
    assert (await ann.accounts.me()).display_name == "ann"  # in a new session
    with pytest.raises(ApiError, match="INVALID_CREDENTIALS"):
        await ann.accounts.log_in("ann@example.org", PASSWORD)


@pytest.fixture
async def mailing(
    fresh_database: Any, nats_server: Any, settings: Mapping[str, Any], tmp_path: Path
) -> AsyncIterator[Clients]:
    """Whose mails are in this test's folder."""
    auth = {"mail_folder": tmp_path}
    running = run_suite(fresh_database, nats_server.url, auth_settings=auth, all_settings=settings)
    async with running as suite, Clients(suite) as made:
        yield made


def texts(folder: Path) -> list[str]:
    """Of the mails."""
    return [mail.read_text() for mail in folder.glob("*.txt")]


async def test_a_forgotten_password_is_reset_by_the_mailed_token(mailing: Clients, tmp_path: Path) -> None:
    await mailing("ann")
    async with Client(mailing.suite.url) as nobody:
        await nobody.accounts.forgot_password("nobody@example.org")
        await nobody.accounts.forgot_password("ann@example.org")
        async with asyncio.timeout(30):
            while not (mails := texts(tmp_path)):
                await asyncio.sleep(0.05)
        assert len(mails) == 1
        found = re.search(r"Your token: (\S+)", mails[0])
        assert found is not None
        assert await nobody.accounts.reset_password(found[1], NEW_PASSWORD) == 1
        with pytest.raises(ApiError, match="RESET_TOKEN_INVALID"):
            await nobody.accounts.reset_password(found[1], PASSWORD)
        assert (await nobody.accounts.log_in("ann@example.org", NEW_PASSWORD)).user.display_name == "ann"


async def test_a_ticket_is_for_half_a_minute_and_names_the_live_feed(clients: Clients) -> None:
    ann = await clients("ann")
    ticket = await ann.accounts.ws_ticket()
    assert timedelta(0) < ticket.expires_at - await ann.time() <= timedelta(seconds=30)
    assert ticket.ws_url == clients.suite.ws_url
    assert ticket.ticket != (await ann.accounts.ws_ticket()).ticket


async def test_an_administrator_finds_raises_suspends_and_restores(admin: Client, clients: Clients) -> None:
    ann = await clients("ann")
    me = await ann.accounts.me()
    assert await admin.admin.users(q="ann@example.org").all() == [me]
    raised = await admin.admin.set_role(me.user_id, "analyst", reason="reads the figures")
    assert raised.role == "analyst"
    assert [user.user_id for user in await admin.admin.users(role="analyst").all()] == [me.user_id]
    assert (await admin.admin.suspend(me.user_id, reason="asked for it")).status == "SUSPENDED"
    with pytest.raises(ApiError, match="ACCOUNT_SUSPENDED"):
        await ann.accounts.log_in("ann@example.org", PASSWORD)
    assert (await admin.admin.restore(me.user_id, reason="asked for it")).status == "ACTIVE"
    assert (await admin.admin.user(me.user_id)).status == "ACTIVE"
    assert (await ann.accounts.log_in("ann@example.org", PASSWORD)).user.role == "analyst"


async def test_the_houses_points_are_granted_shown_and_swept(admin: Client, clients: Clients) -> None:
    ann = await clients("ann")
    market_id = await open_market(admin, 100)
    before = await admin.admin.treasury()
    granted = await admin.admin.grant_treasury(micros(9), kind="PROMOTION", reason="more markets")
    assert granted.available_micros == before.available_micros + micros(9)
    await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(2), max_slippage_bps=900))
    (revenue,) = [row for row in await admin.admin.revenue().all() if row.market_id == market_id]
    assert (revenue.vault_micros, revenue.swept_micros) == (20_000, 0)
    await admin.admin.sweep(market_id)
    (revenue,) = [row for row in await admin.admin.revenue().all() if row.market_id == market_id]
    assert (revenue.vault_micros, revenue.swept_micros) == (0, 20_000)
    assert (await admin.admin.treasury()).available_micros == granted.available_micros + 20_000


async def test_a_settlement_is_paid_and_listed_and_the_market_stays_solvent(
    admin: Client, clients: Clients
) -> None:
    ann = await clients("ann")
    market_id = await open_market(admin)
    await ann.orders.mint(market_id, micros(10))
    solvency = await ann.markets.solvency(market_id)
    assert (solvency.is_solvent, solvency.users_yes_micros) == (True, micros(10))
    await admin.admin.resolve(market_id, "YES", reason="seen")
    async with asyncio.timeout(30):
        while not (paid := await ann.portfolio.settlements().all()):
            await asyncio.sleep(0.05)
    assert [(row.market_id, row.outcome, row.points_micros, row.yes_micros) for row in paid] == [
        (market_id, "YES", micros(10), micros(10))
    ]
    assert (await ann.markets.solvency(market_id)).is_solvent
