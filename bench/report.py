"""Sections of arms, what they measured, and how that is shown: a table and a JSON file."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sysconfig
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results")


class BenchError(Exception):
    """A measured system gave a wrong answer or an error: no figure of this run counts."""


async def together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All at once. The first failure ends the others and the bench."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise BenchError(f"{type(first).__name__}: {first}") from first


@dataclass(frozen=True, slots=True)
class Arm:
    """One competitor. `measure` makes one run and returns a figure per metric (its unit is in the metric's name)."""

    name: str
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Section:
    """Arms that do the same work. The first metric decides; its ratio to each rival is shown.

    `ours`: the arms that are not rivals.
    """

    title: str
    note: str
    metrics: tuple[str, ...]
    ours: tuple[str, ...]
    arms: AbstractContextManager[Sequence[Arm]]


@dataclass(slots=True)
class Measured:
    """The figures of one section: metric values per arm, one for each run."""

    section: Section
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, arm: str, figures: Mapping[str, float]) -> None:
        for metric, value in figures.items():
            self.values.setdefault(arm, {}).setdefault(metric, []).append(value)

    def median_of(self, arm: str, metric: str) -> float | None:
        values = self.values[arm].get(metric)
        return median(values) if values else None

    def ratios(self) -> dict[str, float]:
        """Our best arm's first metric over each rival's."""
        metric = self.section.metrics[0]
        ours = [value for arm in self.section.ours if (value := self.median_of(arm, metric))]
        rivals = {arm: self.median_of(arm, metric) for arm in self.values if arm not in self.section.ours}
        return {arm: max(ours) / value for arm, value in rivals.items() if value and ours}


def measure(section: Section, runs: int, console: Console) -> Measured:
    """All arms once, then all again: what disturbs the machine for a while disturbs each of them."""
    measured = Measured(section)
    console.print(f"[bold]{section.title}[/bold]: {section.note}")
    with section.arms as arms:
        for run in range(runs):
            for arm in arms:
                with console.status(f"run {run + 1} of {runs}: {arm.name}"):
                    measured.add(arm.name, arm.measure())
    console.print(table_of(measured))
    return measured


def table_of(measured: Measured) -> Table:
    """A row per arm; medians, with the range of the first, deciding metric."""
    section = measured.section
    table = Table(title=section.title, title_justify="left")
    table.add_column("", no_wrap=True)
    for metric in section.metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("range", justify="right", no_wrap=True)
    table.add_column("ours over" if section.ours else "", justify="right", no_wrap=True)
    ratios = measured.ratios()
    for arm, values in measured.values.items():
        first = values.get(section.metrics[0], [])
        table.add_row(
            arm,
            *(shown(measured.median_of(arm, metric)) for metric in section.metrics),
            f"{shown(min(first))} .. {shown(max(first))}" if first else "",
            f"{ratios[arm]:,.1f}x" if arm in ratios else "",
            style="bold" if arm in section.ours else None,
        )
    return table


def shown(value: float | None) -> str:
    """Three figures at least, without noise after them."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def write_json(all_measured: Sequence[Measured], runs: int, quick: bool) -> Path:
    """One file per call, named by its time (UTC)."""
    now = datetime.now(UTC)
    document = {
        "time": now.isoformat(timespec="seconds"),
        "runs": runs,
        "quick": quick,
        "machine": {
            "cores": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "load_average": os.getloadavg(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "python_is_optimised": "--enable-optimizations"
            in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        },
        "sections": [as_document(measured) for measured in all_measured],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def as_document(measured: Measured) -> dict[str, object]:
    """Medians first, then every single run."""
    section = measured.section
    return {
        "title": section.title,
        "note": section.note,
        "ours": list(section.ours),
        "ours_over_rival": measured.ratios(),
        "medians": {
            arm: {metric: measured.median_of(arm, metric) for metric in values}
            for arm, values in measured.values.items()
        },
        "runs": measured.values,
    }
