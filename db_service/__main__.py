"""`python -m db_service` serves reads; `migrate`, `verify` and `replay` are commands."""

from __future__ import annotations

import sys

import asyncpg
import typer
from pydantic import ValidationError

from db_service.migrate import MigrationError, migrate
from db_service.process import serve
from db_service.settings import CommandSettings, DbSettings
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


if __name__ == "__main__":
    app(args=sys.argv[1:])
