"""The tables, as numbered SQL files. Which ones a database has had is in its table `schema_versions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analytics.clickhouse import ClickHouse

VERSIONS: Final = Path(__file__).with_name("versions")
_KEPT: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version UInt32 COMMENT 'number of the file',
    name String COMMENT 'of the file',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when'
) ENGINE = MergeTree ORDER BY version
COMMENT 'The files of the schema that this database has had.'
"""


class SchemaTooNew(Exception):
    """The database has had files that this program does not know; the message is for people."""


def files() -> list[tuple[int, Path]]:
    """All there are, by number."""
    return sorted((int(path.name[:4]), path) for path in VERSIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def statements(sql: str) -> Iterator[str]:
    """The statements of a file, without comments of whole lines."""
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    for statement in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE):
        if statement.strip():
            yield statement.strip()


async def apply(clickhouse: ClickHouse) -> list[str]:
    """Brings the database to this program's schema; the names of the files that were missing.

    Each statement can be repeated, so it does not matter where an attempt before this one was cut off.
    """
    await clickhouse.make_database()
    await clickhouse.command(_KEPT)
    had = {row[0] for row in await clickhouse.writers_rows("SELECT version FROM schema_versions")}
    known = files()
    if unknown := had - {version for version, _ in known}:
        raise SchemaTooNew(
            f"the database has schema version {max(unknown)}; this program knows {known[-1][0]}"
        )
    applied = []
    for version, path in known:
        if version in had:
            continue
        for statement in statements(path.read_text()):
            await clickhouse.command(statement)
        await clickhouse.insert("schema_versions", ["version", "name"], [[version], [path.name]])
        applied.append(path.name)
    return applied
