"""`python -m db_service` serves reads; `migrate`, `verify` and `replay` are commands."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import asyncpg
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from db_service.migrate import MigrationError, migrate
from db_service.process import serve
from db_service.replay import replay
from db_service.settings import CommandSettings, DbSettings
from db_service.verify import verify
from engine.replay import BrokenLog
from runtime.lifecycle import run_service

app = typer.Typer(add_completion=False, help="The database: schema, checks, reads.")


@app.callback(invoke_without_command=True)
def serve_command(context: typer.Context) -> None:
    """Without a command: serve reads on gRPC."""
    if context.invoked_subcommand is None:
        run_service("db_service", DbSettings, serve)


def command_settings() -> CommandSettings:
    try:
        return CommandSettings()
    except ValidationError as error:
        names = ", ".join(str(part["loc"][0]).upper() for part in error.errors())
        raise SystemExit(f"db_service: set {names}") from None


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database (DATABASE_URL, as pm_owner) to the newest schema; SHARD_COUNT counts the first time."""
    settings = command_settings()
    try:
        migrate(settings.database_url.get_secret_value(), settings.shard_count)
    except (MigrationError, asyncpg.PostgresError, OSError) as error:
        raise SystemExit(f"db_service: {error}") from None


@app.command("verify")
def verify_command() -> None:
    """Recompute every balance, position, pool and hash from the events (DATABASE_URL, as pm_db); exit 1 on a break."""
    try:
        report = asyncio.run(verify(command_settings().database_url.get_secret_value()))
    except (asyncpg.PostgresError, OSError) as error:
        raise SystemExit(f"db_service: {error}") from None
    report.print(Console())
    raise typer.Exit(1 if report.broken() else 0)


@app.command("replay")
def replay_command(
    market: Annotated[str, typer.Option(help="Only this market.")] = "",
    seq: Annotated[int, typer.Option(help="Stop after this event; 0: replay all.", min=0)] = 0,
) -> None:
    """Fold the events from zero and compare the state's hash with Postgres' (DATABASE_URL, as pm_db)."""
    try:
        replayed = asyncio.run(replay(command_settings().database_url.get_secret_value(), market, seq))
    except (asyncpg.PostgresError, OSError, BrokenLog) as error:
        raise SystemExit(f"db_service: {error}") from None
    table = Table("market", "seq", "replayed", "in Postgres", title="replay", title_justify="left")
    for one in replayed:
        color = "green" if one.same else "red"
        stored = one.stored_hash[:16] or "(later)"
        table.add_row(one.market_id, str(one.seq), one.replayed_hash[:16], f"[{color}]{stored}[/{color}]")
    Console().print(table)
    raise typer.Exit(0 if replayed and all(one.same for one in replayed) else 1)


if __name__ == "__main__":
    app(args=sys.argv[1:])
