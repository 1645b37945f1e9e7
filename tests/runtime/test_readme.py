"""The README's service as printed: it starts, is ready, and ends when told."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from launcher.embedded import NatsServer
from runtime.ports import free_port
from tests.servers import Database

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 30


async def test_the_service_of_the_readme_runs_as_printed(
    fresh_database: Database, nats_server: NatsServer, tmp_path: Path
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "runtime/README.md").read_text(), re.DOTALL)
    program, ops_port = tmp_path / "demo.py", free_port()
    program.write_text(code)
    environment = {
        **os.environ,
        "DATABASE_URL": fresh_database.url_for("pm_db"),
        "NATS_URL": nats_server.url,
        "OPS_PORT": str(ops_port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), env=environment)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await asyncio.to_thread(_is_ready, ops_port):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _is_ready(ops_port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{ops_port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
