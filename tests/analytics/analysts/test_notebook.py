"""The notebook runs from top to bottom against markets with a past, and draws two pictures."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from analytics.clickhouse import Place
from tests.analytics.analysts.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTEBOOK = Path(__file__).resolve().parents[3] / "docs" / "analytics.ipynb"
CELL_SECONDS = 120
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def filled(past: Place) -> Place:
    """In the place of the usual rows."""
    return past


async def test_the_notebook_draws_a_price_chart_and_a_calibration_plot(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ANALYTICS_SQL_URL": live.url,
        "ANALYTICS_SQL_TOKEN": live.token(),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }.items():
        monkeypatch.setenv(name, value)
    notebook = await asyncio.to_thread(_executed)
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    assert all(picture.startswith(PNG) and len(picture) > 10_000 for picture in pictures)


def _executed() -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3")
    return client.execute()


async def test_the_notebook_in_the_repository_has_no_results(live: Live) -> None:
    """They are of nobody's markets, and may hold a token."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
