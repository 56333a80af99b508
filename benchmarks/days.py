"""The date ranges that benchmarks read, and the queries for contenders that have no report definitions."""

from __future__ import annotations

import itertools
import re
from datetime import date, timedelta

FIRST, STOP = date(1992, 1, 1), date(1999, 1, 1)  # covers all ship dates in TPC-H
MILLION = date(1993, 1, 1), date(1994, 2, 25)  # about a million rows at scale factor 1


def query_of(first: date, stop: date) -> str:
    """Returns the query that selects lineitem's rows in a date range."""
    return f"SELECT * FROM lineitem WHERE l_shipdate >= '{first}' AND l_shipdate < '{stop}'"


def days_of(sql: str) -> tuple[date, date]:
    """Returns the date range in a query that ``query_of`` built."""
    first, stop = (date.fromisoformat(text) for text in re.findall(r"'([\d-]{10})'", sql))
    return first, stop


def cut(first: date, stop: date, parts: int) -> list[tuple[date, date]]:
    """Divides a date range into parts of nearly equal length."""
    edges = [first + timedelta(days=(stop - first).days * number // parts) for number in range(parts + 1)]
    return list(itertools.pairwise(edges))
