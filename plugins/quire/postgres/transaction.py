"""One REPEATABLE READ READ ONLY transaction, whose rows arrive as COPY's text."""

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
from quire.postgres.copy_text import CopyTextReader, LineBlocks
from quire.postgres.error_translation import format_place, translate_driver_errors
from quire.postgres.keepalive import CLIENT, with_defaults
from quire.postgres.reader_thread import Give, Item, SilenceError, read_in_thread
from quire.postgres.session_settings import MAX_NAME_LENGTH, SAFE_SEARCH_PATH, local_settings, reading_statements
from quire.records.stage_records import SourceColumn
from quire.report.sql_literal import CLIENT_ENCODING, literal
from quire.report.sql_template import Statement, normalize
from quire.resource_usage import StatementLog

UNKNOWN_TYPE = ("unknown", False)  # made since the snapshot
REPORTS_PATH = "DEFAULT"  # the source's own
MAX_DIGITS = 1000  # of numeric(p,s)


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
    noticed within ten minutes; the client itself notices within half a minute that it cannot reach the server. Where
    something in between keeps a dead connection, it notices once a statement has outlasted its timeout.

    Args:
        session: where to connect.
        name: what PostgreSQL shows of it, in pg_stat_activity and in its log.

    Raises:
        SettingsError: libpq does not understand the address, or PostgreSQL turns the connection away.
        SourceUnavailableError: PostgreSQL cannot be reached.
        QueryError: it does not know the time zone.
    """
    with translate_driver_errors(session.url, driver=psycopg2):
        connection = psycopg2.connect(with_defaults(session.url, **CLIENT), client_encoding=CLIENT_ENCODING)
    # Closing it ends the transaction. The line is the same connection, by a number that libpq does not give back.
    with closing(connection), socket.socket(fileno=os.dup(connection.fileno())) as line:
        with translate_driver_errors(session.url, driver=psycopg2):
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        transaction = SourceTransaction(connection, session, hang_up=partial(_hang_up, line))
        transaction.execute(local_settings(session.timezone, session.timeout, name=name))
        yield transaction


class SourceTransaction:
    """Runs queries in one snapshot.

    A report's query runs under the source's own search_path, Quire's own queries under one where each name is
    PostgreSQL's: whoever may create functions in a schema of the former must not have them called by the latter.
    Before each report's query the settings are set that its values depend on: an earlier one may have changed them.
    """

    def __init__(self, connection: Connection, session: SourceSession, *, hang_up: Callable[[], None]) -> None:
        self._connection, self._session, self._hang_up = connection, session, hang_up
        self._search_path = ""  # set with the first statement
        self._report_settings = f"SET LOCAL search_path TO {REPORTS_PATH}; {reading_statements(session.timezone)}"

    def execute(self, sql: str) -> None:
        """Runs a statement of the session's own, whose rows nobody needs and which no log counts."""

        def work(cursor: Cursor, give: Give[None]) -> None:
            cursor.execute(sql)

        for _ in self._run(work, search_path=SAFE_SEARCH_PATH):
            pass

    def rename(self, name: str) -> None:
        """Changes what PostgreSQL shows of this transaction."""
        self.execute(f"SELECT set_config('application_name', {literal(name[:MAX_NAME_LENGTH])}, true)")

    def fetch(self, sql: str | Statement) -> list[dict[str, Any]]:
        """Returns the rows of a small query, a dict each; it is left as ``stream`` is.

        Of what a report's query is put into, each function, operator and type names its schema, ``pg_catalog``.
        """
        return self._fetch(sql, search_path=REPORTS_PATH)

    def fetch_own(self, sql: str) -> list[dict[str, Any]]:
        """Returns the rows of a small query of Quire's own, whose names without a schema are PostgreSQL's."""
        return self._fetch(sql, search_path=SAFE_SEARCH_PATH)

    def _fetch(self, sql: str | Statement, *, search_path: str) -> list[dict[str, Any]]:
        statement = Statement.of(sql)

        def work(cursor: Cursor, give: Give[list[dict[str, Any]]]) -> None:
            cursor.execute(statement.text)
            names = [column.name for column in cursor.description or ()]
            give([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])

        began = time.perf_counter()
        found: list[dict[str, Any]] = []
        try:
            for rows in self._run(work, search_path=search_path):
                found += rows
        finally:
            self._log(statement, rows=len(found), began=began)
        return found

    def explain(self, sql: str | Statement) -> Any:
        """Returns the plan of a query, as PostgreSQL's JSON has it, without running it."""
        ((plan,),) = (row.values() for row in self.fetch(Statement.of(sql).within("EXPLAIN (FORMAT JSON) ")))
        return plan

    def began_at(self) -> str:
        """Returns the instant of the transaction's beginning, by the server's clock, in UTC as ISO 8601."""
        (row,) = self.fetch_own(
            "SELECT to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS began"
        )
        return str(row["began"])

    def columns(self, sql: str | Statement) -> tuple[SourceColumn, ...]:
        """Returns the columns of a query's result, without reading a row of it."""
        query = Statement.of(sql).within("SELECT * FROM (\n", "\n) AS report LIMIT 0")
        began = time.perf_counter()

        def work(cursor: Cursor, give: Give[Sequence[Any]]) -> None:
            cursor.execute(query.text)
            give(cursor.description or ())

        try:
            with _located(query):
                (described,) = self._run(work, search_path=REPORTS_PATH)
        finally:
            self._log(query, rows=0, began=began)
        kinds = ", ".join(str(column.type_code) for column in described) or "0"
        found = self.fetch_own(
            "SELECT oid::bigint AS oid, typname::text AS name, typnamespace = 'pg_catalog'::regnamespace AS is_own "  # noqa: S608 - numbers
            f"FROM pg_type WHERE oid IN ({kinds})"
        )
        types = {row["oid"]: (row["name"], row["is_own"]) for row in found}
        return tuple(_column(column, *types.get(column.type_code, UNKNOWN_TYPE)) for column in described)

    def stream(self, sql: str | Statement, columns: tuple[SourceColumn, ...]) -> Generator[pa.RecordBatch]:
        """Gives the rows of a query as they arrive, a few megabytes at a time, in the schema of their storage.

        Closing the iterator early ends the connection, and with it the query; it must be closed before the transaction.

        Args:
            sql: the query.
            columns: its columns, as ``columns`` returns them.

        Raises:
            QueryError: PostgreSQL refuses the query, which may come after the first rows; or its storage has no such
                value, as ``CopyTextReader`` says.
            SourceUnavailableError: the connection was lost.
            CancelledError: the session was cancelled.
        """
        query = Statement.of(sql).within(f"SELECT {select_list(columns)} FROM (\n", "\n) AS report")  # noqa: S608 - names, quoted
        reader = CopyTextReader(storage_schema(columns))
        began, rows = time.perf_counter(), 0

        def copy(cursor: Cursor, give: Give[bytes]) -> None:
            blocks = LineBlocks(give)
            cursor.copy_expert(f"COPY ({query.text}) TO STDOUT", blocks)
            blocks.flush()

        def parse(give: Give[pa.RecordBatch]) -> None:
            with closing(self._run(copy, search_path=REPORTS_PATH)) as blocks:
                for block in blocks:
                    give(reader.read(block))

        try:
            with closing(self._in_thread(parse)) as batches:  # beside the thread that copies, and the caller's
                for batch in batches:
                    rows += batch.num_rows
                    yield batch
        finally:
            self._log(query, rows=rows, began=began)

    def _run(self, work: Callable[[Cursor, Give[Item]], None], *, search_path: str) -> Generator[Item]:
        def work_there(give: Give[Item]) -> None:
            if search_path == REPORTS_PATH:
                cursor.execute(self._report_settings)
            elif self._search_path != search_path:
                cursor.execute(f"SET LOCAL search_path TO {search_path}")
            self._search_path = search_path
            work(cursor, give)

        with (
            translate_driver_errors(self._session.url, driver=psycopg2, reads=True),
            self._connection.cursor() as cursor,
        ):
            yield from self._in_thread(work_there)

    def _in_thread(self, work: Callable[[Give[Item]], None]) -> Generator[Item]:
        try:
            yield from read_in_thread(
                work,
                hang_up=self._hang_up,
                cancelled=self._session.cancelled,
                seconds=self._session.timeout.total_seconds(),
            )
        except SilenceError as error:  # what lies between keeps the connection, so that TCP does not notice
            raise SourceUnavailableError(
                f"PostgreSQL at {format_place(self._session.url)} is not available: it sends nothing any more"
            ) from error

    def _log(self, statement: Statement, *, rows: int, began: float) -> None:
        self._session.statements.add(normalize(statement.template), rows=rows, seconds=time.perf_counter() - began)


@contextmanager
def _located(query: Statement) -> Iterator[None]:
    """Puts the line of the report's query on errors: it stands behind one line of ours, and values add none."""
    try:
        yield
    except QueryError as error:
        if error.position is not None:
            error.line = query.text.count("\n", 0, error.position - 1)
        raise


def _hang_up(line: socket.socket) -> None:
    """Ends a connection under whoever waits for it in another thread; PostgreSQL ends its query within a second.

    A request to cancel would need a second connection to the server, for which psycopg2 keeps every thread of Python
    waiting (seen in 2.9.13). Closed without lingering, the connection is reset: a server that waits until it can go on
    sending would else find out when it next tries.
    """
    with suppress(OSError):  # the other end did before
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.shutdown(socket.SHUT_RDWR)


def _column(described: Any, name: str, is_own: bool) -> SourceColumn:
    """Returns a column as ``cursor.description`` has it; of its type, that tells precision and scale as 16 bits each.

    A scale has 11, with a sign (src/include/utils/numeric.h), and no precision is more than ``MAX_DIGITS``.
    """
    modifier = None
    if described.precision is not None and described.precision <= MAX_DIGITS:
        modifier = described.precision, (described.scale & 0x7FF ^ 1024) - 1024
    return SourceColumn(name=described.name, pg_type=type_name(name, is_own=is_own, modifier=modifier))
