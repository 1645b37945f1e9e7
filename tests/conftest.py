"""Real servers for the tests, shared by the whole run.

- `postgres`: the server (`.url` is the superuser's, `.url_for(database, role)` any other's).
- `fresh_database`: a new, migrated database for one test: `.url` is the owner's (pm_owner),
  `.url_for("pm_order")` a service's, `.superuser_url` may look at everything.
- `shared_database`: the same for all tests of a file, which then use users and markets of their own.
- `nats_server`, `redis_server`: `.url`; shared, so use names of your own (streams, keys).
- `kafka_server`: a real Apache Kafka, or the broker of KAFKA_BOOTSTRAP; `.bootstrap`. Where neither can be, the
  test that wants it is skipped and says so.
- `private_database`, `private_nats`, `private_redis`: a server for one test alone, which may stop, kill and
  start it (`private_database.server.kill()`).

For annotations: `from tests.servers import Database`.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from launcher.embedded import KafkaServer, NatsServer, PostgresServer, RedisServer
from launcher.embedded.kafka import why_not
from runtime.ports import PORT_MAX, PORT_MIN, keep_to
from tests.servers import Broker, Database, copied_database, make_migrated, new_folder


def _ports_of_this_process() -> str:
    """Of several test processes each has a part of the ports, as have the processes that it starts."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = (PORT_MAX - PORT_MIN) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return f"{PORT_MIN + worker * count}-{PORT_MIN + (worker + 1) * count - 1}"


os.environ["FREE_PORTS"] = _ports_of_this_process()  # for the launchers that it starts
keep_to(os.environ["FREE_PORTS"])

TEMPLATE = "template_migrated"
# Copies stay until the server goes; its housekeeping is not to go round hundreds of them all the time.
MANY_DATABASES = {"autovacuum_naptime": "10min"}

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    folder = new_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def private_folder() -> Iterator[Path]:
    folder = new_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(server_folder / "postgres", settings=MANY_DATABASES)
    server.start()
    yield server
    server.stop_signal = (
        signal.SIGQUIT
    )  # "immediate": nothing of it is kept, so nothing has to be written down
    server.stop()
    server.delete()


@pytest.fixture(scope="session")
def nats_server(server_folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(server_folder / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(server_folder / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka_server(server_folder: Path) -> Iterator[Broker]:
    external = os.environ.get("KAFKA_BOOTSTRAP", "")
    if external:
        yield Broker(external, None)
        return
    missing = why_not()
    if missing is not None:
        pytest.skip(f"not tested against a Kafka broker: {missing}; or set KAFKA_BOOTSTRAP")
    server = KafkaServer(server_folder / "kafka")
    server.start()
    yield Broker(server.bootstrap, server)
    server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """The name of a database that is copied for each test, so that migrations run once."""
    make_migrated(postgres, TEMPLATE)
    return TEMPLATE


@pytest.fixture
def fresh_database(postgres: PostgresServer, migrated_template: str) -> Iterator[Database]:
    with copied_database(postgres, migrated_template) as database:
        yield database


@pytest.fixture(scope="module")
def shared_database(postgres: PostgresServer, migrated_template: str) -> Iterator[Database]:
    with copied_database(postgres, migrated_template) as database:
        yield database


@pytest.fixture
def private_database(private_folder: Path) -> Iterator[Database]:
    server = PostgresServer(private_folder / "postgres")
    server.start()
    make_migrated(server, "predmarket")
    yield Database(server, "predmarket")
    server.stop()
    server.delete()


@pytest.fixture
def private_nats(private_folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(private_folder / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def private_redis(private_folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(private_folder / "redis")
    server.start()
    yield server
    server.stop()
