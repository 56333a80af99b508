"""A small report for tests: its definition, its events table, and functions for a session and a request."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml
from quire.postgres import SourceSession
from quire.report.catalog import find_definition
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest, request_from_dates

ZONE = "America/New_York"
MADE_AT = "2013-04-01T06:00:00+00:00"
SQL = """\
SELECT id, at, kind, amount, weight, note
FROM public.events
WHERE at >= %(start)s AND at < %(end)s
ORDER BY at, id
"""
DEFINITION: Mapping[str, Any] = {
    "title": "Events",
    "source": {"sql": "events/extract.sql", "time_column": "at"},
    "partition": "month",
    "timezone": ZONE,
    "columns": [
        {"name": "at", "title": "When"},
        {"name": "kind", "title": "Kind"},
        {"name": "amount", "title": "Amount", "total": "sum"},
        {"name": "id", "title": "Number"},
    ],
    "summaries": [
        {
            "name": "By kind",
            "by": ["kind"],
            "measures": {"events": {"agg": "count"}, "amount": {"agg": "sum", "of": "amount"}},
            "chart": {"type": "column", "x": "kind", "y": ["events"]},
        }
    ],
}
TABLE = """\
CREATE TABLE public.events (
    id integer PRIMARY KEY,
    at timestamptz,
    kind text,
    amount numeric(12,2),
    weight numeric,
    note text
)
"""
MANY = """
INSERT INTO events
SELECT n,
       timestamptz '2013-01-01 00:00 America/New_York' + n * %(apart)s,
       CASE WHEN n %% 11 > 0 THEN chr(97 + n %% 5) END,
       CASE WHEN n %% 7 > 0 AND n %% 5 <> 2 THEN (n * 7919 %% 100000 - 30000) / 100.0 END,
       CASE WHEN n %% 13 > 0 THEN n * 0.000001 END,
       CASE WHEN n %% 3 > 0 THEN md5((n %% 400)::text) END
FROM generate_series(100, %(last)s) n
"""
Row = tuple[int, str | None, str | None, str | None, str | None, str | None]
ROWS: tuple[Row, ...] = (
    (1, "2013-01-01 00:00:00 America/New_York", "a", "10.10", "0.5", "first instant"),
    (2, "2013-01-31 23:59:59.999999 America/New_York", "b", "-0.05", "1e3", "last instant"),
    (3, "2013-02-01 00:00:00 America/New_York", "a", None, None, None),
    (4, "2013-03-10 01:59:59 EST", "b", "99999999.99", "3", "before the clocks go forward"),
    (5, "2013-03-10 03:00:00 EDT", None, "0.01", "4", "one second later"),
    (6, "2013-03-31 23:30:00 America/New_York", "b", "1.00", "5", "April in UTC"),
)


def write_report(include: Path, name: str, definition: Mapping[str, Any], sql: str) -> ReportDefinition:
    """Writes a report's two files and loads its definition."""
    sql_file = include / "sql" / definition["source"]["sql"]
    (include / "reports").mkdir(parents=True, exist_ok=True)
    sql_file.parent.mkdir(parents=True, exist_ok=True)
    sql_file.write_text(sql)
    (include / "reports" / f"{name}.yaml").write_text(
        yaml.dump(dict(definition), Dumper=yaml.CSafeDumper, sort_keys=False)
    )
    return find_definition(include, name)


def events_report(include: Path, *, sql: str = SQL, **changes: Any) -> ReportDefinition:
    """Returns the events report with some fields changed; fields in ``source`` are changed individually."""
    source = {**DEFINITION["source"], **changes.pop("source", {})}
    return write_report(include, "events", {**DEFINITION, **changes, "source": source}, sql)


def fill_events(url: str, rows: Iterable[Row] = ROWS) -> None:
    """Recreates the events table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS public.events")
        connection.execute(TABLE)
        connection.cursor().executemany("INSERT INTO public.events VALUES (%s, %s, %s, %s, %s, %s)", list(rows))


def fill_many_events(url: str, last: int, *, minutes: int) -> None:
    """Recreates the events table with the IDs 100 to ``last``; the events start in 2013 and are ``minutes`` apart.

    All nullable columns contain NULLs.
    """
    fill_events(url, [])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MANY, {"last": last, "apart": timedelta(minutes=minutes)})


def session_of(url: str, *, timezone: str = ZONE, seconds: float = 60) -> SourceSession:
    """Returns the settings for a session on a test database."""
    return SourceSession(url=url, timezone=timezone, timeout=timedelta(seconds=seconds))


def request_of(
    definition: ReportDefinition, start: str = "2013-01-01", end: str = "2013-03-31", *, run_id: str | None = None
) -> RunRequest:
    """Returns a request for the ``run_id`` run or, by default, for a new run."""
    request = request_from_dates(definition, start=start, end=end, parameters={}, run_id=run_id or uuid.uuid4().hex)
    return replace(request, made_at=MADE_AT) if run_id else request
