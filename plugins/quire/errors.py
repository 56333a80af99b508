"""What can go wrong, as one tree.

    ReportError
    ├── TerminalError                 trying again gives the same; Airflow does not retry
    │   ├── UsageError                the user's own input; exit status 2
    │   │   ├── DefinitionError       a report's YAML or SQL file
    │   │   ├── RangeError            dates
    │   │   └── ParameterError        parameters, commands' arguments
    │   ├── SettingsError             environment and connections
    │   │   └── NoConnectionError     not set at all
    │   ├── QueryError                PostgreSQL refused the query
    │   │   └── StatementError        for what it says
    │   ├── NotTrackedError           changes of a table are not, or not wholly, tracked
    │   ├── UntrustedSchemaError      schema quire is owned by another role
    │   ├── MisplacedRowsError        rows that belong to no partition
    │   ├── StoreRefusedError         no such bucket, no right, a wrong key
    │   ├── IntegrityError            a stored object is not what was stored
    │   │   └── DamagedObjectError    and a new run replaces it
    │   ├── WorkbookError             what no workbook can hold
    │   └── StackError                the stack on this machine could not start
    └── TransientError                trying again may help; Airflow retries
        ├── SourceUnavailableError    PostgreSQL is away, or ended the query
        └── StoreUnavailableError     the object store is away or overloaded

Libraries' errors are translated once, where they are called: those of psycopg and psycopg2 in ``source``, botocore's
in ``object_store``, pydantic's in ``catalog``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_exception_only

MAX_UNEXPECTED_LENGTH = 300
MAX_QUOTED_LENGTH = 60


class ReportError(Exception):
    """Root of the tree. Its text is one line for a person: what, where and what to do.

    Args:
        message: the line, without the report's name.
        report: the report concerned, where one is.
        partition: the partition key concerned, where one is.
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
        return _rebuild, (type(self), self.message, self.report, self.partition)


@contextmanager
def error_context(*, report: str, partition: str | None = None) -> Iterator[None]:
    """Puts report and partition on errors that come through without them."""
    try:
        yield
    except ReportError as error:
        error.report = error.report or report
        error.partition = error.partition or partition
        raise


def first_line(error: BaseException) -> str:
    """Returns the first line of what a library's error says."""
    return (str(error).splitlines() or [""])[0]


def short_repr(value: object) -> str:
    """Returns the ``repr`` of a value as errors quote it: its beginning where it is long."""
    if isinstance(value, str):
        value = value[: MAX_QUOTED_LENGTH + 1]
    return _cut(repr(value), MAX_QUOTED_LENGTH)


def _rebuild(kind: type[ReportError], message: str, report: str | None, partition: str | None) -> ReportError:
    return kind(message, report=report, partition=partition)


class TerminalError(ReportError):
    """Trying again gives the same."""


class UsageError(TerminalError):
    """The user's own input is wrong."""

    exit_status = 2


class DefinitionError(UsageError):
    """A report's YAML or SQL file is wrong."""


def unexpected_error(error: BaseException, *, report: str) -> DefinitionError:
    """Returns an error that makes a report broken, of one that nothing else has translated."""
    text = format_exception_only(error)[-1].strip()  # also where the error cannot say what it is
    return DefinitionError(f"it ended with an unforeseen error, {_cut(text, MAX_UNEXPECTED_LENGTH)}", report=report)


def _cut(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


class RangeError(UsageError):
    """A date does not parse, or a range has no day."""


class ParameterError(UsageError):
    """A parameter or argument is unknown or has a value that is not allowed."""


class SettingsError(TerminalError):
    """A connection or an environment variable is missing or malformed."""


class NoConnectionError(SettingsError):
    """A connection is not set at all."""


class QueryError(TerminalError):
    """PostgreSQL refused the query.

    Where it says at which character, ``position`` has it, counted from 1 in the statement as it was sent, and ``line``
    the line of the report's query.
    """

    position: int | None = None
    line: int | None = None


class StatementError(QueryError):
    """PostgreSQL does not understand the query, or finds no such table, column or function."""


class NotTrackedError(TerminalError):
    """Changes of a table that the report reads are not tracked, or cannot be."""


class UntrustedSchemaError(TerminalError):
    """The schema ``quire``, or an object in it, is in the hands of a role that is not its owner."""


class MisplacedRowsError(TerminalError):
    """The query returned rows whose time column is NULL or outside their partition."""


class StoreRefusedError(TerminalError):
    """The object store refuses: no such bucket, no right, a wrong key."""


class IntegrityError(TerminalError):
    """A stored object is missing or is not what was stored."""


class DamagedObjectError(IntegrityError):
    """A stored object is missing, or its bytes are not those that were stored; a run that starts again replaces it."""


class WorkbookError(TerminalError):
    """Something that no workbook can hold."""


class StackError(TerminalError):
    """The stack on this machine could not be started or reached."""


class TransientError(ReportError):
    """Trying again may help."""


class SourceUnavailableError(TransientError):
    """PostgreSQL cannot be reached, or ended the query before it was done."""


class StoreUnavailableError(TransientError):
    """The object store cannot be reached, or is overloaded."""
