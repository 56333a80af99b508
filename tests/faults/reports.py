"""The fault matrix's reports, and the tables they read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from tests.events import DEFINITION, SQL, fill_events, write_report

GC_CONNECTION = "quire_gc_source"
SUMMARIES = [
    *DEFINITION["summaries"],
    {"name": "Amounts", "by": ["kind"], "measures": {"amounts": {"agg": "n_unique", "of": "amount"}}},
]
SOURCE = {**DEFINITION["source"], "freshness": {"probe": "amount"}, "parallel": 2, "timeout": "5s"}
EVENTS: Mapping[str, Any] = {
    **DEFINITION,
    "source": SOURCE,
    "summaries": SUMMARIES,
    "workbook": {"formats": ["xlsx", "csv"]},
    "delivery": {"keep": "30d"},
}
# This query's partition and workbook are larger than an upload part, because random text is incompressible.
LARGE_SQL = """\
SELECT id, at, kind, note
FROM public.large
WHERE at >= %(start)s AND at < %(end)s
ORDER BY at, id
"""
LARGE: Mapping[str, Any] = {
    **EVENTS,
    "title": "Large",
    "source": {**SOURCE, "sql": "events/large.sql", "freshness": {"probe": "id"}},
    "columns": [{"name": "at", "title": "When"}, {"name": "id", "title": "Number"}, {"name": "note", "title": "Note"}],
    "summaries": [],
    "workbook": {"formats": ["xlsx"]},
}
FILL_LARGE = """
CREATE TABLE public.large AS
SELECT n AS id,
       timestamptz '2013-01-01 00:00 America/New_York' + n * interval '3 minutes' AS at,
       chr(97 + n % 3) AS kind,
       (SELECT string_agg(encode(sha512((n || ' ' || k)::bytea), 'base64'), '') FROM generate_series(1, 12) k) AS note
FROM generate_series(1, 11000) n
"""


def write_reports(include: Path) -> None:
    """Writes the ``events`` and ``large`` definitions for runs, and ``old`` and ``kept`` for garbage collection."""
    write_report(include, "events", EVENTS, SQL)
    write_report(include, "large", LARGE, LARGE_SQL)
    collected = {**EVENTS, "source": {**SOURCE, "connection": GC_CONNECTION}}
    write_report(include, "old", collected, SQL)
    write_report(include, "kept", {**collected, "delivery": {}}, SQL)


def fill_tables(url: str, gc_url: str) -> None:
    """Creates all tables in one database, and the events table in a second database, where rows change."""
    fill_events(url)
    fill_events(gc_url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL_LARGE)
