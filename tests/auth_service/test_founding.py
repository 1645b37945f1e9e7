"""The first administrator, made by command and by nothing else."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from auth_service.founding import AdminOutcome, create_admin
from auth_service.hashing import BoundedHasher, HashingLimits
from auth_service.identity import SYSTEM_ACTOR, BadField
from predmarket.auth.v1 import auth_pb2
from tests.auth_service.support import PASSWORD, Auth


@pytest.fixture
def hasher() -> Iterator[BoundedHasher]:
    made = BoundedHasher(HashingLimits(time_cost=1, memory_kib=64))
    yield made
    made.close()


async def make_admin(
    database: Any, hasher: BoundedHasher, email: str = "root@example.org", password: str = PASSWORD
) -> AdminOutcome:
    connection = await asyncpg.connect(database.url_for("pm_auth"))
    try:
        return await create_admin(
            connection, hasher, user_id=uuid.uuid4(), email=email, password=password, grant_micros=1_000
        )
    finally:
        await connection.close()


async def test_the_admin_is_made_once_and_logs_in(
    auth: Auth, fresh_database: Any, hasher: BoundedHasher, rows: Any
) -> None:
    assert await make_admin(fresh_database, hasher) is AdminOutcome.CREATED
    answer = await auth.log_in("root@example.org")
    assert answer.user.role == auth_pb2.ROLE_ADMIN
    assert (await auth.verifier.identity(f"Bearer {answer.tokens.access_token}")).role == "admin"
    again = await make_admin(fresh_database, hasher, "ROOT@example.org", "another Password 9")
    assert again is AdminOutcome.IS_ADMIN_ALREADY
    await auth.log_in("root@example.org")  # with the first password still
    audit = await rows.fetch(
        "SELECT * FROM audit_log WHERE action = 'user.created' AND reason = 'create-admin'"
    )
    assert [row["actor_id"] for row in audit] == [SYSTEM_ACTOR]
    assert audit[0]["after"] == '{"role": "admin"}'


async def test_of_two_commands_at_once_one_makes_it(
    fresh_database: Any, hasher: BoundedHasher, rows: Any
) -> None:
    outcomes = await asyncio.gather(*(make_admin(fresh_database, hasher) for _ in range(5)))
    assert sorted(outcome.name for outcome in outcomes) == ["CREATED"] + ["IS_ADMIN_ALREADY"] * 4
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_who_registered_the_address_first_does_not_become_admin(
    auth: Auth, fresh_database: Any, hasher: BoundedHasher
) -> None:
    await auth.register("root@example.org", password="the Squatter 77")
    outcome = await make_admin(fresh_database, hasher)
    assert outcome is AdminOutcome.EMAIL_IS_SOMEBODY_ELSES
    assert (await auth.log_in("root@example.org", "the Squatter 77")).user.role == auth_pb2.ROLE_USER


@pytest.mark.parametrize(
    ("email", "password"),
    [("root", PASSWORD), ("root@example.org", "short"), ("root@example.org", "admin1234")],
)
async def test_the_admins_password_obeys_the_same_rules(
    fresh_database: Any, hasher: BoundedHasher, email: str, password: str
) -> None:
    with pytest.raises(BadField):
        await make_admin(fresh_database, hasher, email, password)
