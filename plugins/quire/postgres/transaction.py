"""A REPEATABLE READ READ ONLY transaction that streams rows in COPY's text format."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from quire.errors import QueryError, SourceUnavailableError
from quire.postgres.arrow_types import select_list, storage_schema, type_name
from quire.postgres.arrow_without_pandas import hide_pandas_from_arrow
from quire.postgres.copy_text import CopyTextReader, LineBlocks
from quire.postgres.error_translation import format_place, translate_driver_errors
from quire.postgres.keepalive import CLIENT, with_defaults
from quire.postgres.reader_thread import Emit, Item, SilenceError, read_in_thread
from quire.postgres.session_settings import MAX_NAME_LENGTH, SAFE_SEARCH_PATH, local_settings, reading_statements
from quire.record_types.stage_records import SourceColumn
from quire.report.sql_literal import CLIENT_ENCODING, literal
from quire.report.sql_template import Statement, normalize
from quire.resource_usage import StatementLog

UNKNOWN_TYPE = ("unknown", False)  # stands in for a type that was created after the snapshot
REPORTS_PATH = "DEFAULT"  # the connection's own search_path
MAX_PRECISION = 1000  # of numeric(p,s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSession:
    """A session's settings: the libpq URL, the time zone, and the statement timeout.

    If any thread sets ``cancelled``, all of this session's streams end. ``statements`` records the statements that the
    session executes. ``transaction_class`` creates the session's transactions; a subclass can observe their queries.
    """

    url: str = field(repr=False)
    timezone: str
    timeout: timedelta
    statements: StatementLog = field(default_factory=StatementLog, repr=False, compare=False)
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    transaction_class: type[SourceTransaction] = field(
        default_factory=lambda: SourceTransaction, repr=False, compare=False
    )

    def with_own_log(self) -> SourceSession:
        """Returns a copy of this session with an empty statement log."""
        return replace(self, statements=StatementLog())


@contextmanager
def open_transaction(session: SourceSession, *, name: str = "quire") -> Iterator[SourceTransaction]:
    """Opens a read-only transaction on the source.

    The name, time zone, timeouts and output styles apply only to this transaction. If the client process dies, the
    server (PostgreSQL 14 and newer) ends the query within a second. If the client is unreachable, the server detects
    this within ten minutes; if the server is unreachable, the client detects this within 30 seconds. If a proxy keeps a
    dead connection open, the client detects this only after the statement timeout.

    Args:
        session: the connection and session settings.
        name: the application name in pg_stat_activity and the server log.

    Raises:
        SettingsError: libpq cannot parse the URL, or PostgreSQL rejected the connection.
        SourceUnavailableError: PostgreSQL cannot be reached.
        QueryError: PostgreSQL does not recognize the time zone.
    """
    hide_pandas_from_arrow()
    with translate_driver_errors(session.url, driver=psycopg2):
        connection = psycopg2.connect(with_defaults(session.url, **CLIENT), client_encoding=CLIENT_ENCODING)
    # Closing the connection ends the transaction. The duplicate socket remains valid when libpq closes the original.
    with closing(connection), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        with translate_driver_errors(session.url, driver=psycopg2):
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        transaction = session.transaction_class(connection, session, hang_up=partial(_hang_up, duplicate))
        transaction.execute(local_settings(session.timezone, session.timeout, name=name))
        yield transaction


class SourceTransaction:
    """Executes queries in one snapshot.

    A report's query runs under the connection's search_path. Quire's own queries run under ``SAFE_SEARCH_PATH``, so
    they never call functions that other roles created. Before each report query, the settings that affect the query's
    values are set again, because an earlier query may have changed them.
    """

    def __init__(self, connection: Connection, session: SourceSession, *, hang_up: Callable[[], None]) -> None:
        self._connection, self._session, self._hang_up = connection, session, hang_up
        self._search_path = ""  # unknown until the first statement sets it
        self._report_settings = f"SET LOCAL search_path TO {REPORTS_PATH}; {reading_statements(session.timezone)}"

    def execute(self, sql: str) -> None:
        """Executes a statement that configures the session, without logging it or returning rows."""

        def work(cursor: Cursor, emit: Emit[None]) -> None:
            cursor.execute(sql)

        for _ in self._run(work, search_path=SAFE_SEARCH_PATH):
            pass

    def rename(self, name: str) -> None:
        """Changes this transaction's application name."""
        self.execute(f"SELECT set_config('application_name', {literal(name[:MAX_NAME_LENGTH])}, true)")

    def fetch(self, sql: str | Statement) -> list[dict[str, Any]]:
        """Returns a small query's rows as dictionaries.

        If the SQL wraps a report's query, it must qualify its own functions, operators and types with ``pg_catalog``.
        """
        return self._fetch(sql, search_path=REPORTS_PATH)

    def fetch_own(self, sql: str) -> list[dict[str, Any]]:
        """Returns the rows of a query that Quire defines; unqualified names refer to PostgreSQL's own objects."""
        return self._fetch(sql, search_path=SAFE_SEARCH_PATH)

    def _fetch(self, sql: str | Statement, *, search_path: str) -> list[dict[str, Any]]:
        statement = Statement.of(sql)

        def work(cursor: Cursor, emit: Emit[list[dict[str, Any]]]) -> None:
            cursor.execute(statement.text)
            names = [column.name for column in cursor.description or ()]
            emit([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])

        began = time.perf_counter()
        fetched: list[dict[str, Any]] = []
        try:
            for rows in self._run(work, search_path=search_path):
                fetched += rows
        finally:
            self._log(statement, rows=len(fetched), began=began)
        return fetched

    def explain(self, sql: str | Statement) -> Any:
        """Returns PostgreSQL's plan for a query as JSON, without executing the query."""
        ((plan,),) = (row.values() for row in self.fetch(Statement.of(sql).within("EXPLAIN (FORMAT JSON) ")))
        return plan

    def began_at(self) -> str:
        """Returns the time on the server's clock when the transaction started, in UTC as ISO 8601."""
        (row,) = self.fetch_own(
            "SELECT to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS began"
        )
        return str(row["began"])

    def columns(self, sql: str | Statement) -> tuple[SourceColumn, ...]:
        """Returns a query's result columns without reading rows."""
        query = Statement.of(sql).within("SELECT * FROM (\n", "\n) AS report LIMIT 0")
        began = time.perf_counter()

        def work(cursor: Cursor, emit: Emit[Sequence[Any]]) -> None:
            cursor.execute(query.text)
            emit(cursor.description or ())

        try:
            with _locate_errors(query):
                (described,) = self._run(work, search_path=REPORTS_PATH)
        finally:
            self._log(query, rows=0, began=began)
        kinds = ", ".join(str(column.type_code) for column in described) or "0"
        rows = self.fetch_own(
            "SELECT oid::bigint AS oid, typname::text AS name, typnamespace = 'pg_catalog'::regnamespace AS is_own "  # noqa: S608 - numbers
            f"FROM pg_type WHERE oid IN ({kinds})"
        )
        types = {row["oid"]: (row["name"], row["is_own"]) for row in rows}
        return tuple(_column(column, *types.get(column.type_code, UNKNOWN_TYPE)) for column in described)

    def stream(self, sql: str | Statement, columns: tuple[SourceColumn, ...]) -> Generator[pa.RecordBatch]:
        """Yields a query's rows as they arrive, in batches of a few megabytes with the storage schema.

        Closing the iterator early ends the query and closes the connection. Close the iterator before the transaction.

        Args:
            sql: the query.
            columns: the query's columns, as returned by ``columns``.

        Raises:
            QueryError: PostgreSQL rejected the query, possibly after it returned rows; or a value cannot be stored
                (see ``CopyTextReader``).
            SourceUnavailableError: the connection was lost.
            CancelledError: the session was canceled.
        """
        query = Statement.of(sql).within(f"SELECT {select_list(columns)} FROM (\n", "\n) AS report")  # noqa: S608 - names, quoted
        reader = CopyTextReader(storage_schema(columns))
        began, rows = time.perf_counter(), 0

        def copy(cursor: Cursor, emit: Emit[bytes]) -> None:
            blocks = LineBlocks(emit)
            cursor.copy_expert(f"COPY ({query.text}) TO STDOUT", blocks)
            blocks.flush()

        def parse(emit: Emit[pa.RecordBatch]) -> None:
            with closing(self._run(copy, search_path=REPORTS_PATH)) as blocks:
                for block in blocks:
                    emit(reader.read(block))

        try:
            with closing(self._in_thread(parse)) as batches:  # this thread parses; another thread runs COPY
                for batch in batches:
                    rows += batch.num_rows
                    yield batch
        finally:
            self._log(query, rows=rows, began=began)

    def _run(self, work: Callable[[Cursor, Emit[Item]], None], *, search_path: str) -> Generator[Item]:
        def work_under_path(emit: Emit[Item]) -> None:
            if search_path == REPORTS_PATH:
                cursor.execute(self._report_settings)
            elif self._search_path != search_path:
                cursor.execute(f"SET LOCAL search_path TO {search_path}")
            self._search_path = search_path
            work(cursor, emit)

        with (
            translate_driver_errors(self._session.url, driver=psycopg2, reads=True),
            self._connection.cursor() as cursor,
        ):
            yield from self._in_thread(work_under_path)

    def _in_thread(self, work: Callable[[Emit[Item]], None]) -> Generator[Item]:
        try:
            yield from read_in_thread(
                work,
                hang_up=self._hang_up,
                cancelled=self._session.cancelled,
                seconds=self._session.timeout.total_seconds(),
            )
        except SilenceError as error:  # for example if a proxy keeps a dead connection open
            raise SourceUnavailableError(
                f"PostgreSQL at {format_place(self._session.url)} is not available: it stopped responding"
            ) from error

    def _log(self, statement: Statement, *, rows: int, began: float) -> None:
        self._session.statements.add(normalize(statement.template), rows=rows, seconds=time.perf_counter() - began)


@contextmanager
def _locate_errors(query: Statement) -> Iterator[None]:
    """Adds the line number in the report's query to an error.

    Quire inserts one line before the query, and bound values contain no newlines.
    """
    try:
        yield
    except QueryError as error:
        if error.position is not None:
            error.line = query.text.count("\n", 0, error.position - 1)
        raise


def _hang_up(connection: socket.socket) -> None:
    """Closes a connection on which another thread is waiting. PostgreSQL ends the connection's query within a second.

    A cancel request would need a second connection, and psycopg2 (2.9.13) blocks all Python threads while it opens a
    connection. With a linger time of zero, closing resets the connection. Without the reset, a server that is blocked
    in a write would not detect the closed connection until its next write.
    """
    with suppress(OSError):  # the server closed the connection first
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)


def _column(described: Any, name: str, is_own: bool) -> SourceColumn:
    """Converts a column of ``cursor.description``, which reports the type's precision and scale as 16 bits each.

    The scale is a signed 11-bit number (src/include/utils/numeric.h), and the precision is at most ``MAX_PRECISION``.
    """
    modifier = None
    if described.precision is not None and described.precision <= MAX_PRECISION:
        modifier = described.precision, (described.scale & 0x7FF ^ 1024) - 1024
    return SourceColumn(name=described.name, pg_type=type_name(name, is_own=is_own, modifier=modifier))
