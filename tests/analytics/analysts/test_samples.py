"""Every sample query of docs/analytics.md is asked as an analyst asks it, of markets with a past."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from analytics.clickhouse import Place
from tests.analytics.analysts.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "analytics.md"
SAMPLE = re.compile(r"^### (.+?)\n+```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAMPLES = dict(SAMPLE.findall(PAGE.read_text()))


@pytest.fixture(scope="module")
def filled(past: Place) -> Place:
    """In the place of the usual rows."""
    return past


@pytest.mark.parametrize("title", SAMPLES)
async def test_every_sample_has_rows(live: Live, title: str) -> None:
    status, text = await live.ask(SAMPLES[title], default_format="JSONCompact")
    assert status == 200, text
    assert json.loads(text)["rows"] > 0, "it shows nothing"


async def test_every_sql_of_the_page_is_a_sample() -> None:
    assert len(SAMPLES) == PAGE.read_text().count("```sql") >= 15


async def test_solvency_is_exact(live: Live) -> None:
    title = next(title for title in SAMPLES if title.startswith("Solvency"))
    _, text = await live.ask(SAMPLES[title], default_format="JSONEachRow")
    for row in map(json.loads, text.splitlines()):
        assert (int(row["yes_too_many"]), int(row["no_too_many"])) == (0, 0)


async def test_the_brier_score_is_a_score(live: Live) -> None:
    title = next(title for title in SAMPLES if title.startswith("Brier"))
    _, text = await live.ask(SAMPLES[title], default_format="JSONEachRow")
    row = json.loads(text)
    assert int(row["markets"]) == 3
    assert 0 < row["brier"] < 1
