"""The data folder of a run: who holds it, its secrets, its logs, what is running."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher.options import SHARDS, BadOption

LOG_TAIL_BYTES = 3_000


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at the first run and kept in a file only its owner can read."""

    postgres: str
    nats: str
    redis: str


@dataclass(frozen=True, slots=True)
class Admin:
    """The first administrator, kept so that the command line can act as one."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class RunningService:
    """One process, as `status` shows it."""

    instance: str
    pid: int
    ops_port: int


@dataclass(frozen=True, slots=True)
class RunState:
    """What runs now; written by the run, read by the other commands."""

    launcher_pid: int
    url: str
    ws_url: str
    postgres_port: int
    nats_port: int
    redis_port: int
    kafka_bootstrap: str
    services: tuple[RunningService, ...]


class FolderInUse(Exception):
    """Another run holds the folder."""

    def __init__(self, state: RunState | None) -> None:
        self.state = state
        where = f" (process {state.launcher_pid}, {state.url})" if state else ""
        super().__init__(f"it is running already{where}; `make status` shows it, `make stop` ends it")


class DataFolder:
    """Everything a run keeps lies below one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: int | None = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def clickhouse(self) -> Path:
        return self.path / "clickhouse"

    @property
    def admin_file(self) -> Path:
        return self.path / "admin.json"

    def prepare(self) -> None:
        """Make the folder. Raises BadOption when that, or writing into it, is not possible."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise BadOption(
                f"the data folder {self.path} cannot be used ({error.strerror}); choose another with DATA=folder"
            ) from error

    def lock(self) -> None:
        """Hold the folder until this process ends. Raises FolderInUse."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderInUse(self.state()) from None
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_held(self) -> bool:
        """Whether a run (of another process) holds the folder."""
        if not (self.path / "lock").exists():
            return False
        try:
            self.lock()
        except FolderInUse:
            return True
        self.unlock()
        return False

    def secrets(self) -> Secrets:
        """The same over all runs of this folder."""
        file = self.path / "secrets.json"
        if not file.exists():
            made = Secrets(*(secrets.token_hex(16) for _ in range(3)))
            write_private(file, asdict(made))
        return Secrets(**json.loads(file.read_text()))

    def shards(self, wanted: int) -> int:
        """The number of shards this folder's database was made with; a new one gets the wanted, or the usual number.

        Raises BadOption when it has another than the wanted: it never changes.
        """
        file = self.path / "shards.json"
        if not file.exists():
            write_private(file, {"shards": wanted or SHARDS})
        kept = int(json.loads(file.read_text())["shards"])
        if wanted not in (0, kept):
            raise BadOption(f"SHARDS={wanted}: the database in {self.path} has {kept} shards, and keeps them")
        return kept

    def admin(self) -> Admin | None:
        """None before the first run has made one."""
        if not self.admin_file.exists():
            return None
        return Admin(**json.loads(self.admin_file.read_text()))

    def keep_admin(self, admin: Admin) -> None:
        write_private(self.admin_file, asdict(admin))

    def state(self) -> RunState | None:
        """What the last run wrote; only meaningful while the folder is held."""
        try:
            state = json.loads((self.path / "state.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        state["services"] = tuple(RunningService(**service) for service in state["services"])
        return RunState(**state)

    def keep_state(self, state: RunState) -> None:
        write_private(self.path / "state.json", asdict(state))

    def forget_state(self) -> None:
        (self.path / "state.json").unlink(missing_ok=True)

    def log_file(self, instance: str) -> Path:
        return self.logs / f"{instance}.log"

    def log_tail(self, instance: str) -> str:
        """The end of a log, for an error message."""
        file = self.log_file(instance)
        if not file.exists():
            return "(no log)"
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")


def write_private(file: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file at once; only its owner can read it."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(file)
