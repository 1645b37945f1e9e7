"""What the tables refuse, and who may read them."""

from typing import Any

import asyncpg
import pytest

from tests.auth_service.support import Auth

SECRETS = ("users", "sessions", "refresh_tokens", "signing_keys")


@pytest.mark.parametrize("role", ["pm_order", "pm_db"])
@pytest.mark.parametrize("table", SECRETS)
async def test_no_other_service_reads_the_secrets(fresh_database: Any, role: str, table: str) -> None:
    connection = await asyncpg.connect(fresh_database.url_for(role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT 1 FROM {table}")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM accounts",
        "DELETE FROM accounts",
        "SELECT 1 FROM trade_ledger",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET reason = ''",
        "DELETE FROM users",
        "DELETE FROM signing_keys",
        "CREATE TABLE mine (x int)",
    ],
)
async def test_auth_service_touches_no_money_and_erases_no_trace(fresh_database: Any, statement: str) -> None:
    connection = await asyncpg.connect(fresh_database.url_for("pm_auth"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET email = NULL WHERE role = 'user'",
        "UPDATE users SET role = 'god' WHERE role = 'user'",
        "UPDATE users SET role = 'treasury' WHERE role = 'user'",
        "UPDATE users SET status = 'asleep'",
        "UPDATE users SET password_hash = 'plain' WHERE role = 'user'",
        "UPDATE users SET display_name = ''",
        "UPDATE users SET grant_micros = -1",
        "UPDATE users SET password_hash = '$argon2id$x' WHERE role = 'treasury'",
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE refresh_tokens SET token_hash = 'short'",
        "UPDATE signing_keys SET private_key = NULL",
        "UPDATE signing_keys SET retired_at = now()",
        "UPDATE signing_keys SET algorithm = 'HS256'",
    ],
)
async def test_what_makes_no_sense_cannot_be_stored(auth: Auth, rows: Any, statement: str) -> None:
    await auth.register()
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute(statement)


async def test_two_addresses_that_differ_in_case_are_one(auth: Auth, rows: Any) -> None:
    await auth.register("ada@example.org")
    await auth.register("eve@example.org")
    with pytest.raises(asyncpg.UniqueViolationError):
        await rows.execute("UPDATE users SET email = 'ADA@example.org' WHERE email = 'eve@example.org'")
