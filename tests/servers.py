"""What the fixtures of `conftest.py` hand out."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from launcher.embedded import KafkaServer, NatsServer, PostgresServer, RedisServer


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database on a real server."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """As pm_owner, who made the tables."""
        return self.server.url_for(self.name)

    @property
    def superuser_url(self) -> str:
        """For looking at everything."""
        return self.server.url_for(self.name, "postgres")

    def url_for(self, role: str) -> str:
        """As one of the services: pm_order, pm_auth, pm_db."""
        return self.server.url_for(self.name, role)


@dataclass(frozen=True, slots=True)
class Servers:
    """What all services need."""

    database: Database
    nats: NatsServer
    redis: RedisServer


@contextmanager
def copied_database(postgres: PostgresServer, template: str) -> Iterator[Database]:
    """A database of its own. It stays until the server goes: after its 500 files are deleted, ext4 passes over their
    places for minutes, one by one, whenever a file is made, and making the next database takes twice as long.
    """
    database = Database(postgres, f"test_{uuid.uuid4().hex}")
    asyncio.run(postgres.create_database(database.name, template=template))
    yield database
    asyncio.run(_end_sessions(database))


async def _end_sessions(database: Database) -> None:
    connection = await asyncpg.connect(database.server.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name
    )
    await connection.close()


@contextmanager
def embedded_servers() -> Iterator[Servers]:
    """For a campaign of its own, outside pytest; stopped and deleted afterwards."""
    with ExitStack() as stack:
        folder = new_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = PostgresServer(folder / "postgres")
        redis = RedisServer(folder / "redis")
        nats = NatsServer(folder / "nats")
        stack.callback(postgres.delete)
        for server in (postgres, redis, nats):
            server.start()
            stack.callback(server.stop)
        make_migrated(postgres, "predmarket")
        yield Servers(Database(postgres, "predmarket"), nats, redis)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker of the Kafka protocol. `server` None: somebody else's, which we do not stop."""

    bootstrap: str
    server: KafkaServer | None


def new_folder() -> Path:
    """A folder that the account PostgreSQL runs as can reach (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="predmarket-test-"))
    folder.chmod(0o755)
    return folder


def make_migrated(server: PostgresServer, name: str) -> None:
    """A new database with all migrations."""
    from db_service.migrate import migrate

    asyncio.run(server.create_database(name))
    migrate(server.url_for(name))
