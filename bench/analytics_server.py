"""analytics as a child process beside an exchange, with the embedded engine in a folder of its own."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from bench import servers
from bench.exchange import DATABASE, READY_SECONDS, Exchange
from bench.report import BenchError
from predmarket.analytics.v1 import analytics_pb2 as pb
from predmarket.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from runtime.errors import ApiError
from runtime.grpc_client import call
from runtime.ports import free_port

ANSWER_SECONDS = 30


@dataclass(slots=True)
class Analytics:
    """Its settings are the product's defaults."""

    ours: Exchange
    folder: Path
    grpc_port: int = field(default_factory=free_port)
    _ops_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def start(self) -> None:
        """Until it can answer; it may not have caught up yet."""
        settings = {
            "DATABASE_URL": self.ours.postgres.url_for(DATABASE, "pm_analytics"),
            "NATS_URL": self.ours.nats.url,
            "JWKS_URL": self.ours.issuer.url,
            "CLICKHOUSE_FOLDER": str(self.folder),
            "GRPC_PORT": str(self.grpc_port),
            "OPS_PORT": str(self._ops_port),
            "INSTANCE": "analytics-1",
        }
        self._process = servers.start_service("analytics", settings, self.ours.log_path)
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = self.ours.log_path.read_text()[-2_000:]
                raise BenchError(f"analytics is not ready:\n{log}")
            time.sleep(0.02)

    def ensure_started(self) -> None:
        if self._process is None:
            self.start()

    def stop(self) -> None:
        if self._process is not None:
            servers.stop_service(self._process)
            self._process = None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ops_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


async def newest_seq(stub: AnalyticsServiceStub, market_id: str) -> int:
    """The market's last event of which ClickHouse has all rows."""
    request = pb.GetProgressRequest(market_id=market_id)
    try:
        progress = await call(stub.GetProgress, request, deadline_seconds=ANSWER_SECONDS)
    except ApiError as error:
        raise BenchError(f"analytics answered {error.code}: {error.message}") from error
    newest: int = min(topic.seq for topic in progress.topics)
    return newest
