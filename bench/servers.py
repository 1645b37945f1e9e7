"""Real servers for the length of one section, in a folder that is removed afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from db_service.migrate import migrate
from launcher.embedded import NatsServer, PostgresServer, RedisServer
from launcher.embedded.process import die_with_parent

SHARDS = 2
STOP_SECONDS = 15.0


@contextmanager
def folder() -> Iterator[Path]:
    """One that the account PostgreSQL runs as can reach."""
    path = Path(tempfile.mkdtemp(prefix="predmarket-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgres(where: Path) -> Iterator[PostgresServer]:
    """Durable: fsync, full_page_writes and synchronous_commit are on, as `launcher.embedded` starts it always."""
    server = PostgresServer(where / "postgres")
    with ExitStack() as stack:
        stack.callback(server.delete)
        server.start()
        stack.callback(server.stop)
        yield server


@contextmanager
def nats(where: Path) -> Iterator[NatsServer]:
    server = NatsServer(where / "nats")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis(where: Path) -> Iterator[RedisServer]:
    server = RedisServer(where / "redis")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def make_database(server: PostgresServer, name: str) -> None:
    """New, with the product's own schema."""
    asyncio.run(server.create_database(name))
    migrate(server.url_for(name), SHARDS)


def start_service(module: str, settings: Mapping[str, str], log_path: Path) -> subprocess.Popen[bytes]:
    """`python -m module` as a child that ends with us; returns at once."""
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, "LOG_LEVEL": "WARNING", **settings},
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )


def stop_service(process: subprocess.Popen[bytes]) -> None:
    """Asked to end; killed when it does not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
