"""One REPEATABLE READ READ ONLY transaction, through Apache Arrow's own driver."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from adbc_driver_manager import Error
from adbc_driver_manager._reader import AdbcRecordBatchReader
from adbc_driver_postgresql import StatementOptions

from quire.artifacts import SourceColumn
from quire.source.arrow_types import is_postgresqls_own, quoted
from quire.source.lost_connections import CLIENT, SERVER, with_defaults
from quire.source.translation import translated
from quire.sql_template import normalized
from quire.usage import StatementLog

logger = logging.getLogger(__name__)

BATCH_BYTES = 4 * 1024 * 1024
BATCHES_WAITING = 2
CANCEL_SECONDS = 0.2
LONGEST_NAME = 63  # PostgreSQL's NAMEDATALEN - 1; it would cut by itself, with a notice
_END = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSession:
    """How to connect: ``url`` for libpq, the session's time zone, and how long a statement may take.

    Setting ``cancelled``, from any thread, ends every stream of this session. ``statements`` counts what was run.
    """

    url: str = field(repr=False)
    timezone: str
    timeout: timedelta
    statements: StatementLog = field(default_factory=StatementLog, repr=False, compare=False)
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def with_own_log(self) -> SourceSession:
        """Returns this session with a log of statements that has none yet."""
        return replace(self, statements=StatementLog())


@contextmanager
def open_transaction(session: SourceSession, *, name: str = "quire") -> Iterator[SourceTransaction]:
    """Opens a snapshot of the source; nothing can be written through it.

    Name, time zone, timeouts and output styles hold for this transaction only. A client that died is noticed by the
    server within a second (PostgreSQL 14 on), so that its query does not run on. One that cannot be reached any more is
    noticed within ten minutes; the client itself notices within half a minute that it cannot reach the server.

    Args:
        session: where to connect.
        name: what PostgreSQL shows of it, in pg_stat_activity and in its log.

    Raises:
        SettingsError: libpq does not understand the address, or PostgreSQL turns the connection away.
        SourceUnavailableError: PostgreSQL cannot be reached.
        QueryError: it does not know the time zone.
    """
    with translated(session.url):
        connection = adbc.connect(with_defaults(session.url, **CLIENT), autocommit=False)
    try:
        with translated(session.url), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(_local_settings(session, name))
            cursor.fetchall()
        yield SourceTransaction(connection, session)
    finally:
        connection.close()  # which ends the transaction


def _local_settings(session: SourceSession, name: str) -> str:
    from psycopg.sql import Literal

    wanted = {
        "application_name": name[:LONGEST_NAME],
        "TimeZone": session.timezone,
        "statement_timeout": f"{int(session.timeout.total_seconds() * 1000)}ms",
        "client_connection_check_interval": "1s",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        **SERVER,
    }
    rows = ", ".join(
        f"({Literal(name).as_string(None)}, {Literal(value).as_string(None)})" for name, value in wanted.items()
    )
    return (
        "SELECT set_config(s.name, w.value, true) "  # noqa: S608 - both sides are quoted literals
        f"FROM (VALUES {rows}) AS w(name, value) JOIN pg_settings AS s ON s.name = w.name"
    )


class SourceTransaction:
    """Runs queries in one snapshot."""

    def __init__(self, connection: adbc.Connection, session: SourceSession) -> None:
        self._connection, self._session = connection, session

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        """Returns the rows of a small query, a dict each; it is cancelled as ``stream`` is."""
        return [row for batch in self.stream(sql) for row in batch.to_pylist()]

    def explain(self, sql: str) -> str:
        """Returns the plan of a query, as JSON, without running it."""
        began = time.perf_counter()
        with translated(self._session.url), self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.USE_COPY.value: "false"})  # COPY takes no EXPLAIN
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
            (plan,) = cursor.fetch_arrow_table().column(0).to_pylist()
        self._log(sql, rows=0, began=began)
        return str(plan)

    def began_at(self) -> str:
        """Returns the instant of the transaction's beginning, by the server's clock, in UTC as ISO 8601."""
        (row,) = self.fetch(
            "SELECT to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS began"
        )
        return str(row["began"])

    def columns(self, sql: str) -> tuple[SourceColumn, ...]:
        """Returns the columns of a query's result without running it."""
        began = time.perf_counter()
        with translated(self._session.url), self._connection.cursor() as cursor:
            schema = cursor.adbc_execute_schema(sql)
        self._log(sql, rows=0, began=began)
        return tuple(SourceColumn(name=entry.name, pg_type=_type_name(entry)) for entry in schema)

    def stream(self, sql: str) -> Generator[pa.RecordBatch]:
        """Gives the rows of a query as they arrive, about ``BATCH_BYTES`` at a time.

        The driver holds Python's signal handlers up while it works, so it works in a thread of its own. Closing the
        iterator early cancels the query on the server; it must be closed before the transaction is.

        Raises:
            QueryError: PostgreSQL refuses the query; this may come after the first rows.
            SourceUnavailableError: the connection was lost.
            CancelledError: the session was cancelled.
        """
        arrived: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(BATCHES_WAITING)
        began, rows = time.perf_counter(), 0
        given_up = threading.Event()
        with translated(self._session.url), self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
            thread = threading.Thread(
                target=_pump, args=(cursor, sql, arrived, given_up), name="postgresql", daemon=True
            )
            thread.start()
            try:
                while (item := self._next(arrived)) is not _END:
                    if isinstance(item, Exception):
                        raise item
                    rows += item.num_rows
                    yield item
            finally:
                self._log(sql, rows=rows, began=began)
                given_up.set()
                while thread.is_alive():
                    _cancel(cursor, arrived)
                    thread.join(0.1)

    def _log(self, sql: str, *, rows: int, began: float) -> None:
        self._session.statements.add(normalized(sql), rows=rows, seconds=time.perf_counter() - began)

    def _next(self, arrived: queue.Queue[Any]) -> Any:
        while not self._session.cancelled.is_set():
            try:
                return arrived.get(timeout=CANCEL_SECONDS)
            except queue.Empty:
                continue
        raise CancelledError


def _pump(cursor: adbc.Cursor, sql: str, arrived: queue.Queue[Any], given_up: threading.Event) -> None:
    try:
        cursor.execute(sql)
        # fetch_record_batch() would give PyArrow's own reader, whose errors have lost their SQLSTATE.
        handle = cursor.fetch_arrow()
        for batch in AdbcRecordBatchReader._import_from_c(handle.address):
            arrived.put(batch)
            if given_up.is_set():
                return
        arrived.put(_END)
    except Exception as error:  # whatever it is: raised again where somebody waits
        if not given_up.is_set():
            arrived.put(error)


def _cancel(cursor: adbc.Cursor, arrived: queue.Queue[Any]) -> None:
    try:
        cursor.adbc_cancel()
    except Error as error:  # it had just ended by itself
        logger.debug("nothing to cancel: %s", error)
    try:
        while True:
            arrived.get_nowait()
    except queue.Empty:
        return


def _type_name(entry: pa.Field) -> str:
    """Returns a type as PostgreSQL names it, quoted where it is a user's type of the same name.

    The driver gives its name, and its modifier apart.
    """
    metadata = entry.metadata or {}
    name = str(metadata.get(b"POSTGRESQL:type", b"unknown"), "utf-8")
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1"))
    if not is_postgresqls_own(name, entry.type):
        return quoted(name)
    if name != "numeric" or modifier < 4:
        return name
    # src/include/utils/numeric.h: precision in the upper 16 bits, an 11-bit signed scale in the lower, plus 4
    precision, scale = (modifier - 4) >> 16, ((modifier - 4) & 0x7FF ^ 1024) - 1024
    return f"numeric({precision},{scale})"
