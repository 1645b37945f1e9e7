"""The one door to ClickHouse: a server, or the engine in this process (chDB). Both through clickhouse-connect.

Its client is synchronous, so calls run in threads: one for what writes, some for what reads. Every read sees each key
once (FINAL), however often its row was written.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import chdb
import clickhouse_connect
from chdb.state.sqlitelike import Connection
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from runtime.logs import get_logger

log = get_logger(__name__)

DATABASE: Final = "predmarket"
READERS: Final = 4
CONNECT_SECONDS: Final = 3
ANSWER_SECONDS: Final = 600
READ_SECONDS_MAX: Final = 10
"""ClickHouse itself ends a read that takes longer."""

CHECK_SECONDS_MAX: Final = 600

READ_SETTINGS: Final[Mapping[str, Any]] = {
    "readonly": 2,
    "final": 1,
    # A row written again has the same time, so the same partition.
    "do_not_merge_across_partitions_select_final": 1,
    "max_execution_time": READ_SECONDS_MAX,
}
AWAY_CODES: Final = frozenset({159, 202, 203, 209, 210, 236, 241, 243, 252, 394})
"""Timeouts, too many queries, network, aborted, out of memory or disk, too many parts, killed: worth another try."""

Result = TypeVar("Result")


class ClickHouseAway(ConnectionError):
    """It cannot be reached, or has no room just now. Whether a write took effect is not known."""


class FolderTaken(Exception):
    """Another process has the embedded engine's folder; the message is for people."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where ClickHouse is: `url` of a server (http://user:password@host:8123), else `folder` of the embedded engine."""

    url: str = ""
    folder: Path | None = None
    database: str = DATABASE

    @property
    def is_embedded(self) -> bool:
        return not self.url


class Lane(Enum):
    """Threads that do not wait for each other."""

    WRITE = "write"
    READ = "read"
    ANALYSTS = "analysts"


class ClickHouse:
    """`open()` first, `close()` at the end. Its calls raise ClickHouseAway, or DatabaseError for a bad statement.

    `analysts`: threads for their queries, and one more to end some.
    """

    def __init__(self, place: Place, *, analysts: int = 3) -> None:
        self.place = place
        self._threads = {
            Lane.WRITE: ThreadPoolExecutor(1, "clickhouse-write"),
            Lane.READ: ThreadPoolExecutor(READERS, "clickhouse-read"),
            Lane.ANALYSTS: ThreadPoolExecutor(analysts, "clickhouse-analysts"),
        }
        self._own = threading.local()
        self._clients: list[Client] = []
        self._lock_file: int | None = None
        self._column_types: dict[str, Sequence[Any]] = {}

    async def open(self) -> None:
        """Takes the embedded engine's folder. Raises FolderTaken."""
        if self.place.is_embedded:
            assert self.place.folder is not None, "a server's URL, or a folder"
            self._lock_file = _take(self.place.folder)
        common.set_setting("autogenerate_session_id", False)
        for chatty in ("urllib3", "clickhouse_connect"):  # they log what they raise, with whole URLs
            logging.getLogger(chatty).setLevel(logging.ERROR)

    async def close(self) -> None:
        """Waits for what runs; reads end by their time limit."""
        for threads in self._threads.values():
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        for client in self._clients:
            client.close()
        if self._lock_file is not None:
            os.close(self._lock_file)

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """The result of a read. `{name:Type}` in it stands for a parameter."""
        return await self._do(
            Lane.READ,
            lambda client: (
                client.query(sql, parameters=dict(parameters or {}), settings=dict(READ_SETTINGS)).result_rows
            ),
        )

    async def stored_rows(self, sql: str) -> Sequence[Sequence[Any]]:
        """As `rows` for checks: every stored row (no FINAL), and time enough to read them all."""
        settings = {"readonly": 2, "max_execution_time": CHECK_SECONDS_MAX}
        return await self._do(Lane.READ, lambda client: client.query(sql, settings=settings).result_rows)

    async def formatted(self, sql: str, wanted: str) -> bytes:
        """The whole result in a format of ClickHouse's, with time enough."""
        settings = {"readonly": 2, "max_execution_time": CHECK_SECONDS_MAX}
        if self.place.is_embedded:  # there, a session that reads only could not be set back
            settings = {}
        return await self._do(
            Lane.READ, lambda client: bytes(client.raw_query(sql, fmt=wanted, settings=settings))
        )

    async def writers_rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Sequence[Any]]:
        """As `rows` for the writer: after its writes, without a time limit, and every stored row (no FINAL)."""
        return await self._do(
            Lane.WRITE, lambda client: client.query(sql, parameters=dict(parameters or {})).result_rows
        )

    async def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """A statement without a result."""
        await self._do(Lane.WRITE, lambda client: client.command(sql, settings=dict(settings or {})))

    async def make_database(self) -> None:
        """The database, if it is not there."""
        await self._do(
            Lane.WRITE,
            lambda client: client.command(f"CREATE DATABASE IF NOT EXISTS {self.place.database}"),
            database=None,
        )

    async def drop_database(self) -> None:
        """The database with everything in it, if it is there."""
        await self._do(
            Lane.WRITE,
            lambda client: client.command(f"DROP DATABASE IF EXISTS {self.place.database} SYNC"),
            database=None,
        )
        self._column_types.clear()

    async def insert(self, table: str, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
        """Rows, given as columns, in one block: all of them or none, as long as they are of one partition.

        When the answer is lost it may still be under way at a server: `end_inserts` before looking what is there.
        """
        await self._do(Lane.WRITE, lambda client: self._insert(client, table, names, columns))

    async def end_inserts(self) -> None:
        """Ends what a server still inserts into this database: for this process, or for a writer that was killed."""
        if self.place.is_embedded:
            return  # its inserts ended with their process, or their thread
        await self._do(
            Lane.WRITE,
            lambda client: client.command(
                f"KILL QUERY WHERE startsWith(query_id, '{self._insert_prefix()}') SYNC"
            ),
        )

    async def embedded_session(self, work: Callable[[Connection], Result]) -> Result:
        """Something in an analysts' thread, on a session of the embedded engine of its own. Raises what `work` does."""
        assert self.place.folder is not None, "a server has sessions of its own"
        folder = self.place.folder

        def in_thread() -> Result:
            # Spelled as clickhouse-connect does: the engine compares paths as texts.
            with chdb.connect(os.path.realpath(folder)) as session:
                return work(session)

        return await asyncio.get_running_loop().run_in_executor(self._threads[Lane.ANALYSTS], in_thread)

    def _insert(
        self, client: Client, table: str, names: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> None:
        if table not in self._column_types:
            context = client.create_insert_context(table, column_names=list(names))
            self._column_types[table] = context.column_types
        query_id = f"{self._insert_prefix()}{uuid.uuid4()}"
        client.insert(
            table,
            columns,
            column_names=list(names),
            column_types=self._column_types[table],
            column_oriented=True,
            settings={} if self.place.is_embedded else {"query_id": query_id},
        )

    def _insert_prefix(self) -> str:
        return f"insert-{self.place.database}-"

    async def _do(
        self, lane: Lane, work: Callable[[Client], Result], *, database: str | None = DATABASE
    ) -> Result:
        wanted = self.place.database if database else None

        def in_thread() -> Result:
            client = self._client()
            if client.database != wanted:
                client.database = wanted
            return work(client)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads[lane], in_thread)
        except (OperationalError, OSError) as error:
            raise ClickHouseAway(str(error)) from error
        except DatabaseError as error:
            # Without a code it is not ClickHouse that answers, but a proxy before it.
            if getattr(error, "code", None) in (None, *AWAY_CODES):
                raise ClickHouseAway(str(error)) from error
            raise

    def _client(self) -> Client:
        """This thread's own."""
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._connect()
            self._own.client = client
            self._clients.append(client)
        return client

    def _connect(self) -> Client:
        if self.place.is_embedded:
            return clickhouse_connect.get_client(dsn=f"chdb://{self.place.folder}")
        return clickhouse_connect.get_client(
            dsn=self.place.url,
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=ANSWER_SECONDS,
            query_retries=0,
        )


@asynccontextmanager
async def opened(place: Place, *, analysts: int = 3) -> AsyncIterator[ClickHouse]:
    """For as long as the block. Raises FolderTaken."""
    clickhouse = ClickHouse(place, analysts=analysts)
    await clickhouse.open()
    try:
        yield clickhouse
    finally:
        await clickhouse.close()


def _take(folder: Path) -> int:
    """One owner a folder, as the engine demands."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.parent / f"{folder.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderTaken(
            f"{folder} is in use by another process, such as analytics itself: stop that first"
        ) from None
    return descriptor
