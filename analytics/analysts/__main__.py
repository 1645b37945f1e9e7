"""`python -m analytics.analysts`: `apply`, `add NAME`, `remove NAME`, `export FOLDER`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from analytics import schema
from analytics.analysts import access
from analytics.analysts.export import Ask, Day, Export, StillChanging, yesterdays_end
from analytics.analysts.sources import SourceSettings, over_http
from analytics.clickhouse import ClickHouse, FolderTaken, Place, opened
from analytics.settings import ClickHouseSettings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What analysts read, and who may.")
console = Console(highlight=False)
Name = Annotated[str, typer.Argument(help="Of the user: lower-case letters, digits and _.")]


class NoServer(Exception):
    """The embedded engine has no users; the message is for people."""


@app.command("apply")
def apply_command() -> None:
    """Bring schema and views up to date; on a server also roles, grants, row policies, limits and quotas."""

    async def work(clickhouse: ClickHouse) -> int:
        await schema.apply(clickhouse)
        return await access.apply(clickhouse)

    console.print(f"{_finished(work)} statements applied")


@app.command("add")
def add_command(name: Name) -> None:
    """Make a user of the server who reads the views, or give one another password; it is shown this once."""
    password = _finished(lambda clickhouse: access.add_analyst(clickhouse, name), needs_server=True)
    console.print(f"user      {name}\npassword  {password}  (shown this once)", markup=False)


@app.command("remove")
def remove_command(name: Name) -> None:
    """End a user's access."""
    _finished(lambda clickhouse: access.remove_analyst(clickhouse, name), needs_server=True)
    console.print(f"{name} is no user any more", markup=False)


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    first: Annotated[str, typer.Option("--from", help="The first day (UTC), as 2026-01-31.")] = "1970-01-01",
    end: Annotated[str, typer.Option("--to", help="The day after the last. Empty: all that are over.")] = "",
) -> None:
    """Write a Parquet file per table and day, and a manifest. Can be cut off and repeated.

    ANALYTICS_SQL_URL and ANALYTICS_SQL_TOKEN ask a running endpoint; without them ClickHouse is opened here.
    """
    try:
        days = date.fromisoformat(first), date.fromisoformat(end) if end else yesterdays_end()
    except ValueError:
        raise SystemExit("analysts: a day is written as 2026-01-31") from None
    source = SourceSettings()
    if source.analytics_sql_url:
        found = _told(lambda: _exported(over_http(source), folder, "", days))
    else:
        found = _finished(lambda clickhouse: _exported_here(clickhouse, folder, days))
    console.print(f"{sum(day.rows for day in found):,} rows of {len(found):,} days and tables in {folder}")


async def _exported_here(clickhouse: ClickHouse, folder: Path, days: tuple[date, date]) -> list[Day]:
    if clickhouse.place.is_embedded:
        await schema.apply(clickhouse)
        await access.apply(clickhouse)
    prefix = f"{access.database_of(clickhouse.place.database)}."
    return await _exported(clickhouse.formatted, folder, prefix, days)


async def _exported(ask: Ask, folder: Path, prefix: str, days: tuple[date, date]) -> list[Day]:
    columns = (TextColumn("{task.description}"), SpinnerColumn(), TextColumn("{task.completed:,} rows"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("export", total=None)

        def told(day: Day, is_new: bool) -> None:
            verb = "written" if is_new else "kept"
            progress.update(task, description=f"{day.key} {verb}", advance=day.rows)

        return await Export(ask, folder, prefix=prefix).run(*days, told)


def _finished(work: Callable[[ClickHouse], Coroutine[Any, Any, Any]], *, needs_server: bool = False) -> Any:
    return _told(lambda: _with_clickhouse(ClickHouseSettings().place(), work, needs_server))


def _told(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Its result; what people can mend is said to them."""
    try:
        return asyncio.run(work())
    except ValidationError as error:
        raise SystemExit(f"analysts: {'; '.join(problem['msg'] for problem in error.errors())}") from None
    except (access.BadName, FolderTaken, NoServer, schema.SchemaTooNew, StillChanging, OSError) as error:
        raise SystemExit(f"analysts: {error}") from None
    except DatabaseError as error:
        raise SystemExit(f"analysts: ClickHouse says {error}") from None


async def _with_clickhouse(
    place: Place, work: Callable[[ClickHouse], Coroutine[Any, Any, Any]], needs_server: bool
) -> Any:
    if needs_server and place.is_embedded:
        raise NoServer("set CLICKHOUSE_URL: the embedded engine has no users, its endpoint takes tokens")
    async with opened(place) as clickhouse:
        return await work(clickhouse)


if __name__ == "__main__":
    app()
