"""The errors of psycopg2 and of psycopg as Quire's, in one place, by SQLSTATE.

The codes are those of PostgreSQL's manual, appendix A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote

import psycopg
import psycopg2

from quire.errors import QueryError, ReportError, SettingsError, SourceUnavailableError, StatementError
from quire.postgres.grant_hints import missing_grant

_TRANSIENT = (
    "08",  # connection exception
    "53",  # insufficient resources: too many connections, out of memory, disk full
    "40",  # serialization failure, deadlock
    "55P03",  # lock not available
    "57P",  # shut down, crashed, starting up
    "25P03",  # the session was idle in its transaction for too long
    "25P04",  # the transaction took too long
)
_QUERY_CANCELED = "57014"
_NO_RIGHT = "42501"
# The driver gives no code where PostgreSQL turns a connection away.
_TURNED_AWAY = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied",
)
# Of the options that a connection asks for, in the words of PostgreSQL's guc.c and postgres.c.
_WRONG_OPTION = (
    "invalid value for parameter",
    "unrecognized configuration parameter",
    "permission denied to set parameter",
    "cannot be changed",
    "cannot be set",
    "is outside the valid range for parameter",
    " requires a ",
    "invalid command-line argument",
)
_NO_ADDRESS = re.compile(r"invalid (?:port number|\w+ value)|weak sslmode")
_SHORT = 6  # letters: a password of fewer may be part of any word
_SEVERITY = re.compile(r"^(?:ERROR|FATAL): +")


@contextmanager
def translated(url: str, *, reads: bool = False) -> Iterator[None]:
    """Turns a driver's errors into Quire's.

    Args:
        url: where it was connected to.
        reads: whether only reading was tried, so that a refusal tells which GRANT is missing.

    Raises:
        SettingsError: PostgreSQL turns the connection away.
        SourceUnavailableError: it is away, or too busy.
        StatementError: it does not understand the statement.
        QueryError: it refuses it for another reason.
    """
    try:
        yield
    except (psycopg2.Error, psycopg.Error) as error:
        raise _of_driver(error, url, reads=reads) from error


def _of_driver(error: psycopg2.Error | psycopg.Error, url: str, *, reads: bool) -> ReportError:
    line = _without_password(_SEVERITY.sub("", error.diag.message_primary or str(error)).strip(), url)
    code = (error.sqlstate if isinstance(error, psycopg.Error) else error.pgcode) or ""
    if code == _QUERY_CANCELED:
        advice = "; raise source.timeout, or choose shorter partitions" if "timeout" in line else ""
        return QueryError(f"PostgreSQL ended the query: {line}{advice}")
    if not code and (refusal := _refusal(line, _WRONG_OPTION)):
        return SettingsError(
            f"PostgreSQL at {place_of(url)} refuses an option of the connection: {refusal}; correct its options"
        )
    if not code and (refusal := _refusal(line, _TURNED_AWAY)):
        return SettingsError(
            f"PostgreSQL at {place_of(url)} turns the connection away: {refusal}; check its user, password and database"
        )
    is_of_address = isinstance(error, psycopg.ProgrammingError | psycopg2.ProgrammingError) or _NO_ADDRESS.match(line)
    if is_of_address and not code:
        return SettingsError(f"the address of PostgreSQL at {place_of(url)} cannot be understood: {line}")
    if not code or code.startswith(_TRANSIENT):
        return SourceUnavailableError(f"PostgreSQL at {place_of(url)} is not available: {line}")
    kind = StatementError if code.startswith("42") and code != _NO_RIGHT else QueryError
    advice = missing_grant(line, role=_role(url)) if reads and code == _NO_RIGHT else _hint(error, url)
    refused = kind(f"PostgreSQL refuses the query: {line} (SQLSTATE {code}){advice}")
    refused.position = int(error.diag.statement_position) if error.diag.statement_position else None
    return refused


def _hint(error: psycopg2.Error | psycopg.Error, url: str) -> str:
    hint = error.diag.message_hint
    return f". PostgreSQL's hint: {_without_password(hint, url)}" if hint else ""


def _role(url: str) -> str:
    return unquote(_authority(url).rpartition("@")[0].partition(":")[0])


def _refusal(text: str, phrases: tuple[str, ...]) -> str:
    """Returns why PostgreSQL turned a connection away, where a line of the text says so in one of these phrases."""
    for line in text.splitlines():
        reason = line.partition("FATAL:")[2].strip()
        if any(phrase in reason for phrase in phrases):
            return reason
    return ""


def place_of(url: str) -> str:
    """Returns an address' hosts and ports, for errors."""
    hosts = _authority(url).rpartition("@")[2]
    return ",".join(
        host if re.search(r":\d+$", host) else f"{host or 'the default host'}:5432" for host in hosts.split(",")
    )


def _authority(url: str) -> str:
    return re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]


def _without_password(text: str, url: str) -> str:
    """Returns the text without any secret of the address, as it stands there or decoded.

    A short one, or one that is a name as well, is left out in the address only.
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
        if len(secret) >= _SHORT:
            text = text.replace(secret, "***").replace(unquote(secret), "***")
        elif secret:
            text = re.sub(rf"(password=){re.escape(secret)}", r"\1***", text)
    return text
