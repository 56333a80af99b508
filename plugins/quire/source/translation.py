"""The errors of ADBC's driver and of psycopg as Quire's, in one place, by SQLSTATE.

The codes are those of PostgreSQL's manual, appendix A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote

import psycopg
from adbc_driver_manager import Error

from quire.errors import QueryError, ReportError, SourceUnavailableError

_TRANSIENT = (
    "08",  # connection exception
    "53",  # insufficient resources: too many connections, out of memory, disk full
    "40",  # serialization failure, deadlock
    "55P03",  # lock not available
    "57P",  # shut down, crashed, starting up
)
_QUERY_CANCELED = "57014"
_NOISE = re.compile(
    r"^(?:[A-Z_]+: )?(?:\[libpq\] )?(?:Failed to (?:prepare|execute) query(?: '.*?')?: |Execution error \[\w+\]: |"
    r"could not begin COPY: )*(?:ERROR: +|FATAL: +)?",
    re.DOTALL,
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns a driver's errors into QueryError or SourceUnavailableError; ``url`` is where it was connected to."""
    try:
        yield
    except (Error, psycopg.Error) as error:
        raise _of_driver(error, url) from error


def _of_driver(error: Error | psycopg.Error, url: str) -> ReportError:
    told = isinstance(error, psycopg.Error) and error.diag.message_primary
    text = _without_password(told or str(error), url)
    line = _NOISE.sub("", re.sub(r"\.? ?SQLSTATE: \w+$", "", text.split("\n\nQuery was")[0])).strip()
    code = error.sqlstate or ""
    if code == _QUERY_CANCELED:
        return QueryError(f"PostgreSQL ended the query: {line}; raise source.timeout, or choose shorter partitions")
    if not code or code.startswith(_TRANSIENT):
        return SourceUnavailableError(f"PostgreSQL at {_place(url)} is not available: {line}")
    return QueryError(f"PostgreSQL refuses the query: {line} (SQLSTATE {code})")


def _place(url: str) -> str:
    hosts = _authority(url).rpartition("@")[2]
    return ",".join(
        host if re.search(r":\d+$", host) else f"{host or 'the default host'}:5432" for host in hosts.split(",")
    )


def _authority(url: str) -> str:
    return re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]


def _without_password(text: str, url: str) -> str:
    """Returns the text without any secret of the address, as it stands there or decoded."""
    _, _, password = _authority(url).rpartition("@")[0].partition(":")
    query = url.partition("?")[2]
    secrets = {password, *(value for name, value in parse_qsl(query) if "password" in name)}
    secrets |= {part.partition("=")[2] for part in query.split("&") if "password" in part.partition("=")[0]}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, "***").replace(unquote(secret), "***")
    return text
