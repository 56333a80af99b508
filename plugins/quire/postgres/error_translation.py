"""Translates the PostgreSQL drivers' errors into Quire's errors, by SQLSTATE (PostgreSQL manual, appendix A)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, unquote

from quire.errors import QueryError, ReportError, SettingsError, SourceUnavailableError, StatementError
from quire.postgres.grant_hints import missing_grant

_TRANSIENT = (
    "08",  # connection exception
    "53",  # insufficient resources: too many connections, out of memory, disk full
    "40",  # serialization failure, deadlock
    "55P03",  # lock not available
    "57P",  # shut down, crashed, starting up
    "25P03",  # idle-in-transaction timeout
    "25P04",  # transaction timeout
)
_QUERY_CANCELED = "57014"
_INSUFFICIENT_PRIVILEGE = "42501"
# The drivers report no SQLSTATE when PostgreSQL rejects a connection.
_REJECTED_CONNECTION = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied",
)
# PostgreSQL's messages for rejected connection options (guc.c and postgres.c).
_REJECTED_OPTION = (
    "invalid value for parameter",
    "unrecognized configuration parameter",
    "permission denied to set parameter",
    "cannot be changed",
    "cannot be set",
    "is outside the valid range for parameter",
    " requires a ",
    "invalid command-line argument",
)
_INVALID_URL = re.compile(r"invalid (?:port number|\w+ value)|weak sslmode")
_MIN_SECRET_LENGTH = 6  # a shorter password could be part of an ordinary word
_SEVERITY = re.compile(r"^(?:ERROR|FATAL): +")


@contextmanager
def translate_driver_errors(url: str, *, driver: ModuleType, reads: bool = False) -> Iterator[None]:
    """Replaces a driver's errors with Quire's errors.

    Args:
        url: the connection URL.
        driver: the driver's DB-API module, psycopg or psycopg2. It is an argument so that this module imports neither
            driver.
        reads: whether the connection is read-only, in which case permission errors name the missing GRANT.

    Raises:
        SettingsError: PostgreSQL rejected the connection, or libpq cannot parse the URL.
        SourceUnavailableError: PostgreSQL cannot be reached or is overloaded.
        StatementError: PostgreSQL cannot parse or resolve the statement.
        QueryError: PostgreSQL rejected the statement for another reason.
    """
    try:
        yield
    except driver.Error as error:
        is_misuse = isinstance(error, driver.ProgrammingError)
        raise _translate_error(error, url, is_misuse=is_misuse, reads=reads) from error


def _translate_error(error: Any, url: str, *, is_misuse: bool, reads: bool) -> ReportError:
    """Translates a driver's error into a Quire error.

    Args:
        error: the driver's error; psycopg stores its SQLSTATE in ``sqlstate``, and psycopg2 in ``pgcode``.
        url: the connection URL.
        is_misuse: whether the error is a ProgrammingError. Without a SQLSTATE, it means that the URL is invalid.
        reads: whether the connection is read-only.
    """
    line = _mask_password(_SEVERITY.sub("", error.diag.message_primary or str(error)).strip(), url)
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if not code:
        return _translate_connection_error(line, url, is_misuse=is_misuse)
    if code == _QUERY_CANCELED:
        advice = ". Raise source.timeout, or choose shorter partitions" if "timeout" in line else ""
        return QueryError(f"PostgreSQL canceled the query: {line}{advice}")
    if code.startswith(_TRANSIENT):
        return _unavailable(line, url)
    kind = StatementError if code.startswith("42") and code != _INSUFFICIENT_PRIVILEGE else QueryError
    advice = missing_grant(line, role=_role(url)) if reads and code == _INSUFFICIENT_PRIVILEGE else _hint(error, url)
    rejected = kind(f"PostgreSQL rejected the query: {line} (SQLSTATE {code}){advice}")
    rejected.position = int(error.diag.statement_position) if error.diag.statement_position else None
    return rejected


def _translate_connection_error(line: str, url: str, *, is_misuse: bool) -> ReportError:
    place = format_place(url)
    if reason := _rejection(line, _REJECTED_OPTION):
        return SettingsError(f"PostgreSQL at {place} rejected a connection option: {reason}. Correct the options")
    if reason := _rejection(line, _REJECTED_CONNECTION):
        return SettingsError(
            f"PostgreSQL at {place} rejected the connection: {reason}. Check its user, password and database"
        )
    if is_misuse or _INVALID_URL.match(line):
        return SettingsError(f"cannot parse the PostgreSQL URL for {place}: {line}")
    return _unavailable(line, url)


def _unavailable(line: str, url: str) -> SourceUnavailableError:
    return SourceUnavailableError(f"PostgreSQL at {format_place(url)} is not available: {line}")


def _hint(error: Any, url: str) -> str:
    hint = error.diag.message_hint
    return f". PostgreSQL's hint: {_mask_password(hint, url)}" if hint else ""


def _role(url: str) -> str:
    return unquote(_authority(url).rpartition("@")[0].partition(":")[0])


def _rejection(text: str, phrases: tuple[str, ...]) -> str:
    """Returns PostgreSQL's reason for rejecting a connection, from the first line that contains one of the phrases."""
    for line in text.splitlines():
        reason = line.partition("FATAL:")[2].strip()
        if any(phrase in reason for phrase in phrases):
            return reason
    return ""


def format_place(url: str) -> str:
    """Returns a URL's hosts and ports for an error message."""
    hosts = _authority(url).rpartition("@")[2]
    return ",".join(
        host if re.search(r":\d+$", host) else f"{host or 'the default host'}:5432" for host in hosts.split(",")
    )


def _authority(url: str) -> str:
    return re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]


def _mask_password(text: str, url: str) -> str:
    """Masks all of the URL's secrets in a text, both URL-encoded and decoded.

    If a secret is short, or is the same as the user name or database name, it is masked only inside the URL.
    """
    identity = _authority(url).rpartition("@")[0]
    user, _, password = identity.partition(":")
    names = {user, url.partition("?")[0].rpartition("/")[2]}
    query = url.partition("?")[2]
    secrets = {password, *(value for name, value in parse_qsl(query) if "password" in name)}
    secrets |= {part.partition("=")[2] for part in query.split("&") if "password" in part.partition("=")[0]}
    if password:
        text = text.replace(identity, f"{user}:***").replace(unquote(identity), f"{user}:***")
    for secret in sorted(secrets - names, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "***").replace(unquote(secret), "***")
        elif secret:
            text = re.sub(rf"(password=){re.escape(secret)}", r"\1***", text)
    return text
