"""The SQL files: who may read what. A ClickHouse server gets all of them, the embedded engine (which has no users) the
views; there the endpoint decides who may ask.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analytics import schema
from analytics.clickhouse import DATABASE, ClickHouse

SQL: Final = Path(__file__).with_name("sql")
READERS: Final = SQL / "1_readers.sql"
VIEWS: Final = SQL / "2_views.sql"
LIMITS: Final = SQL / "3_limits.sql"
ANALYST: Final = SQL / "analyst.sql"

NAME: Final = re.compile(r"[a-z][a-z0-9_]{2,40}")
_OWN_NAMES: Final = re.compile(rf"\b{DATABASE}(?=\b|_)")
_DEFINER: Final = re.compile(r"^DEFINER = \w+ SQL SECURITY DEFINER AS$", re.MULTILINE)


class BadName(ValueError):
    """Not a name for an analyst; the message is for people."""


def database_of(name: str) -> str:
    """The database of the views over the tables of another."""
    return f"{name}_analysts"


def statements(path: Path, database: str) -> Iterator[str]:
    """A file's statements. Everything in them that is named after our database is named after `database`: roles and
    users too, so that several can share a server."""
    yield from schema.statements(_OWN_NAMES.sub(database, path.read_text()))


async def apply(clickhouse: ClickHouse) -> int:
    """All of it, over a schema that is there; how many statements. Each can be repeated, and what was granted before
    and is in no file any more is taken back."""
    files = (VIEWS,) if clickhouse.place.is_embedded else (READERS, VIEWS, LIMITS)
    count = 0
    for path in files:
        for statement in statements(path, clickhouse.place.database):
            sql = _DEFINER.sub("AS", statement) if clickhouse.place.is_embedded else statement
            await clickhouse.command(sql)
            count += 1
    return count


async def add_analyst(clickhouse: ClickHouse, name: str) -> str:
    """A user of the server who reads the views; the password, which is kept nowhere. One who exists gets another.
    Raises BadName."""
    password = secrets.token_urlsafe(24)
    # The password is as random as a key, so a fast hash is enough.
    digest = hashlib.sha256(password.encode()).hexdigest()
    for statement in statements(ANALYST, clickhouse.place.database):
        await clickhouse.command(_of_analyst(statement, name, digest))
    return password


async def remove_analyst(clickhouse: ClickHouse, name: str) -> None:
    """Ends the user's access; what runs is stopped by its time limit. Raises BadName."""
    await clickhouse.command(f"DROP USER IF EXISTS {_checked(name, clickhouse.place.database)}")


def _of_analyst(statement: str, name: str, digest: str) -> str:
    return statement.replace("analyst_name", _checked(name, "")).replace("password_sha256", digest)


def _checked(name: str, database: str) -> str:
    if not NAME.fullmatch(name) or name in ("default", f"{database}_views"):
        raise BadName(
            f"{name!r} is no name for an analyst: lower-case letters, digits and _, 3 to 41 of them"
        )
    return name
