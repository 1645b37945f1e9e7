"""`python -m analytics.analysts`: `apply`, `add NAME`, `remove NAME`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import ValidationError
from rich.console import Console

from analytics import schema
from analytics.analysts import access
from analytics.clickhouse import ClickHouse, ClickHouseAway, FolderTaken, Place, opened
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


def _finished(work: Callable[[ClickHouse], Coroutine[Any, Any, Any]], *, needs_server: bool = False) -> Any:
    try:
        return asyncio.run(_with_clickhouse(ClickHouseSettings().place(), work, needs_server))
    except ValidationError as error:
        raise SystemExit(f"analysts: {'; '.join(problem['msg'] for problem in error.errors())}") from None
    except (access.BadName, ClickHouseAway, FolderTaken, NoServer, schema.SchemaTooNew) as error:
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
