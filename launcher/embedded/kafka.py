"""Apache Kafka, one broker without ZooKeeper (KRaft), from the jars on Maven Central: for where Java and Maven are.

There is no wheel or system package of a broker, so this one server is optional. The jars (some 40 MB) are fetched once
into a folder; everything after that works without a network.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from launcher.embedded.process import EmbeddedServer, ServerError
from runtime.ports import free_port

POM = Path(__file__).with_name("kafka-pom.xml")
JARS = Path(__file__).resolve().parents[2] / ".data" / "cache" / "kafka"
FETCH_SECONDS = 300.0
FORMAT_SECONDS = 60.0
# A broker for one machine: little memory, a start of some seconds.
JVM = ("-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def why_not() -> str | None:
    """What is missing for a broker here, in words; None: nothing."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if not missing or (missing == ["mvn"] and _fetched(JARS)):
        return None
    return f"{' and '.join(missing)} not found: Apache Kafka comes from Maven Central and runs on Java 17"


class KafkaServer(EmbeddedServer):
    """`bootstrap` is its host:port. Topics and offsets are kept in `data_dir` over restarts."""

    name = "Kafka"
    ready_seconds = 120.0  # a busy machine needs a while to load its classes

    def __init__(self, data_dir: Path, *, port: int | None = None, log_path: Path | None = None) -> None:
        super().__init__(port=port, log_path=log_path or data_dir.with_suffix(".log"))
        self.data_dir = data_dir.resolve()
        self._controller_port = 0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def choose_port(self) -> int:
        self._controller_port = free_port()
        return free_port()

    def command(self) -> Sequence[str]:
        jars = fetch_jars()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._controller_port = self._controller_port or free_port()
        settings = self.data_dir / "broker.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        logs = self.data_dir / "log4j.properties"
        logs.write_text(_LOG4J)
        program = (*_java(jars), f"-Dlog4j.configuration=file:{logs}")
        if not (self.data_dir / "data" / "meta.properties").exists():
            self._format(program, settings)
        return [*program, "kafka.Kafka", str(settings)]

    def is_ready(self) -> bool:
        """Whether it answers a request: its port is open some seconds earlier."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(_WHICH_VERSIONS)
                return len(connection.recv(4)) == 4
        except OSError:
            return False

    def _settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.data_dir / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.session.timeout.ms": 2_000,  # a killed broker comes back sooner
            "broker.heartbeat.interval.ms": 500,
            "group.min.session.timeout.ms": 1_000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.segment.bytes": 64 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        }

    def _format(self, program: Sequence[str], settings: Path) -> None:
        # The first byte is 0, so that it never looks like an option: `-` is one of its letters.
        chosen = b"\0" + uuid.uuid4().bytes[1:]
        cluster = base64.urlsafe_b64encode(chosen).rstrip(b"=").decode()
        arguments = ["format", "--cluster-id", cluster, "--config", str(settings)]
        done = subprocess.run(
            [*program, "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            timeout=FORMAT_SECONDS,
        )
        if done.returncode != 0:
            raise ServerError(f"Kafka's folder could not be made:\n{(done.stdout + done.stderr).strip()}")


def fetch_jars(folder: Path = JARS) -> Path:
    """The broker's jars, fetched when they are not there; of several processes one fetches. Raises ServerError."""
    if _fetched(folder):
        return folder
    reason = why_not()
    if reason is not None:
        raise ServerError(reason)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _fetched(folder):
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    unfinished = folder.with_name(f".kafka-{os.getpid()}")
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    options = ["-q", "-B", "-f", str(POM), "-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"]
    try:
        done = subprocess.run(["mvn", goal, *options], capture_output=True, text=True, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise ServerError(f"Maven did not fetch Kafka's jars within {FETCH_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise ServerError(
            f"Maven could not fetch Kafka's jars:\n{(done.stdout + done.stderr).strip()[-2_000:]}"
        )
    _stamp(unfinished).write_text(POM.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _fetched(folder: Path) -> bool:
    """Complete, and of the version the POM names now."""
    return _stamp(folder).exists() and _stamp(folder).read_text() == POM.read_text()


def _stamp(folder: Path) -> Path:
    return folder / "fetched-by.xml"


def _java(jars: Path) -> tuple[str, ...]:
    return ("java", *JVM, "-cp", f"{jars}/*")


_WHICH_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""The protocol's ApiVersions request, version 0, without a client id."""

_LOG4J = """\
log4j.rootLogger=WARN, out
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c %m%n
"""
