"""The exception hierarchy.

    ReportError
    ├── TerminalError                 a retry fails the same way; Airflow does not retry
    │   ├── UsageError                invalid input from the user; exit status 2
    │   │   ├── DefinitionError       a report's YAML or SQL file
    │   │   ├── RangeError            a date or date range
    │   │   └── ParameterError        a parameter or command-line argument
    │   ├── SettingsError             an environment variable or connection; exit status 2
    │   │   └── NoConnectionError     a connection that is not set
    │   ├── QueryError                PostgreSQL rejected the query
    │   │   └── StatementError        syntax error, unknown table, column or function
    │   ├── NotTrackedError           a table without complete change tracking
    │   ├── UntrustedSchemaError      another role owns the quire schema
    │   ├── MisplacedRowsError        rows outside their partition
    │   ├── StoreRefusedError         the object store denied the request
    │   ├── IntegrityError            a stored object is missing or has changed
    │   │   └── DamagedObjectError    the next run replaces the object
    │   ├── WorkbookError             content that no workbook can hold
    │   └── StackError                the local stack did not start
    └── TransientError                a retry may succeed; Airflow retries
        ├── SourceUnavailableError    PostgreSQL is unreachable or interrupted the query
        └── StoreUnavailableError     the object store is unreachable or overloaded

Packages define their own subclasses for conditions that their callers handle separately:

    airflow_api       NotFoundError, RefusedError; AirflowUnavailableError (transient)
    inbound_webhooks  DeliveryRejectedError and its subclasses; DeliveryDeferredError (transient)
    object_store      NoSuchKeyError, DamagedRecordError, UnverifiedRecordError, ExistsError; NoSuchUploadError,
                      ConflictError, UnknownResponseError (transient)
    portal            PausedError, FilesMissingError; BusyError, QuotaError, SupersededError, WorkUnavailableError
                      (transient)
    postgres          StyleError; SilenceError (transient)

Library errors are translated once, in the package that calls them: psycopg's in ``postgres``, botocore's in
``object_store``, pydantic's in ``report.catalog``. Exceptions outside the tree are private to their module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_exception_only

MAX_UNEXPECTED_LENGTH = 300
MAX_QUOTED_LENGTH = 60


class ReportError(Exception):
    """Base class. The message is one line: what failed, where, and how to fix it.

    Args:
        message: the line, without the report's name.
        report: name of the affected report, if any.
        partition: key of the affected partition, if any.
    """

    exit_status = 1

    def __init__(self, message: str, *, report: str | None = None, partition: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.report = report
        self.partition = partition

    def __str__(self) -> str:
        place = " ".join(part for part in (self.report, self.partition) if part)
        return f"{place}: {self.message}" if place else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)  # subclasses may have other constructors


@contextmanager
def error_context(*, report: str, partition: str | None = None) -> Iterator[None]:
    """Adds the report and the partition to errors that are raised in the block."""
    try:
        yield
    except ReportError as error:
        error.report = error.report or report
        error.partition = error.partition or partition
        raise


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message."""
    return (str(error).splitlines() or [""])[0]


def short_repr(value: object) -> str:
    """Returns a value's ``repr`` for an error message, truncated to ``MAX_QUOTED_LENGTH`` characters."""
    if isinstance(value, str):
        value = value[: MAX_QUOTED_LENGTH + 1]
    return _cut(repr(value), MAX_QUOTED_LENGTH)


def _rebuild(kind: type[ReportError], arguments: tuple[object, ...], fields: dict[str, object]) -> ReportError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class TerminalError(ReportError):
    """A retry would fail in the same way."""


class UsageError(TerminalError):
    """The user's input is invalid."""

    exit_status = 2


class DefinitionError(UsageError):
    """A report's YAML or SQL file is invalid."""


def unexpected_error(error: BaseException, *, report: str) -> DefinitionError:
    """Wraps an exception that no other code has translated, so that it breaks only this report."""
    text = format_exception_only(error)[-1].strip()  # works even if the exception's own __str__ raises
    return DefinitionError(f"unexpected error: {_cut(text, MAX_UNEXPECTED_LENGTH)}", report=report)


def _cut(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


class RangeError(UsageError):
    """A date cannot be parsed, or a date range is empty, too long or outside the years 1 to 9999."""


class ParameterError(UsageError):
    """A parameter or argument is unknown or has an invalid value."""


class SettingsError(TerminalError):
    """A connection or an environment variable is missing or malformed."""

    exit_status = 2


class NoConnectionError(SettingsError):
    """A connection is not set."""


class QueryError(TerminalError):
    """PostgreSQL rejected the query.

    If PostgreSQL reports a position, ``position`` is the 1-based character offset in the executed statement, and
    ``line`` is the corresponding line in the report's query.
    """

    position: int | None = None
    line: int | None = None


class StatementError(QueryError):
    """The query has a syntax error or refers to an unknown table, column or function."""


class NotTrackedError(TerminalError):
    """The report reads a table whose changes are not tracked or cannot be tracked."""


class UntrustedSchemaError(TerminalError):
    """Another role owns the ``quire`` schema or an object in it."""


class MisplacedRowsError(TerminalError):
    """The query returned rows whose time column is NULL or outside the partition."""


class StoreRefusedError(TerminalError):
    """The object store denied the request: unknown bucket, missing permission or wrong key."""


class IntegrityError(TerminalError):
    """A stored object is missing or has changed since it was written."""


class DamagedObjectError(IntegrityError):
    """A stored object is missing or damaged; the next run replaces it."""


class WorkbookError(TerminalError):
    """The report has content that cannot be stored in a workbook."""


class StackError(TerminalError):
    """The local stack did not start or is unreachable."""


class TransientError(ReportError):
    """A retry may succeed."""


class SourceUnavailableError(TransientError):
    """PostgreSQL is unreachable or has interrupted the query."""


class StoreUnavailableError(TransientError):
    """The object store is unreachable or overloaded."""
