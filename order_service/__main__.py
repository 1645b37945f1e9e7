"""`python -m order_service` serves; `topics`, `seek` and `rebuild-buses` are commands."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from order_service.bus_rebuild import Stalled, rebuild
from order_service.process import serve
from order_service.settings import BusSettings, OrderSettings
from runtime.lifecycle import run_service
from runtime.logs import configure_logging
from runtime.postgres import open_pool
from runtime.settings import load_settings
from runtime.topic_admin import GroupIsActive, ensure_topics, seek_group
from runtime.topic_settings import TopicSettings
from runtime.topics import Topic, TopicsAway

app = typer.Typer(add_completion=False, help="The single writer of the markets, and its buses.")


class Place(StrEnum):
    """Where a group goes on."""

    START = "start"
    END = "end"


@app.callback(invoke_without_command=True)
def serve_command(context: typer.Context) -> None:
    """Without a command: serve."""
    if context.invoked_subcommand is None:
        run_service("order_service", OrderSettings, serve)
    else:  # a command says what happened in its own words
        configure_logging("order_service", level="CRITICAL")


@app.command("topics")
def topics_command() -> None:
    """Make the topics, or give them the settings of the environment (KAFKA_..., TOPIC_...; partitions stay)."""
    try:
        lines = asyncio.run(ensure_topics(load_settings(TopicSettings)))
    except TopicsAway as error:
        raise SystemExit(f"order_service: {error}") from None
    for line in lines:
        typer.echo(line)


@app.command("seek")
def seek_command(
    topic: Annotated[Topic, typer.Argument(help="Whose group of readers; it must have stopped.")],
    to: Annotated[Place, typer.Option(help="The first message, or after the last.")],
) -> None:
    """Where the topic's group goes on: start reads the whole topic again."""
    try:
        asyncio.run(seek_group(load_settings(TopicSettings), topic, to_start=to is Place.START))
    except TopicsAway as error:
        raise SystemExit(f"order_service: {error}") from None
    except GroupIsActive:
        raise SystemExit(f"order_service: {topic.group} has readers; stop them first") from None
    typer.echo(f"{topic.group} goes on at the {to} of {topic}.")


@app.command("rebuild-buses")
def rebuild_command() -> None:
    """Wipe both buses; everything is published again from PostgreSQL (DATABASE_URL as pm_order and NATS_URL)."""
    settings = load_settings(BusSettings)
    try:
        asyncio.run(_rebuild(settings))
    except (TopicsAway, Stalled, OSError) as error:
        raise SystemExit(f"order_service: {error}") from None
    typer.echo("Both buses are rebuilt.")


async def _rebuild(settings: BusSettings) -> None:
    shown = Progress(
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )
    async with open_pool(settings.database_url.get_secret_value(), name="rebuild", min_size=1) as pool:
        with shown:
            bars: dict[str, TaskID] = {}
            async for progress in rebuild(settings, pool):
                for one in progress:
                    if one.target not in bars:
                        bars[one.target] = shown.add_task(one.target, total=one.total)
                    shown.update(bars[one.target], completed=min(one.done, one.total))


if __name__ == "__main__":
    app(args=sys.argv[1:])
