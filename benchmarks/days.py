"""The days that a benchmark reads, and its query for those who know nothing of reports."""

from __future__ import annotations

import itertools
import re
from datetime import date, timedelta

FIRST, STOP = date(1992, 1, 1), date(1999, 1, 1)  # all of TPC-H's shipdates
MILLION = date(1993, 1, 1), date(1994, 2, 25)  # about a million rows at scale factor 1


def query_of(first: date, stop: date) -> str:
    """Returns lineitem's rows of some days."""
    return f"SELECT * FROM lineitem WHERE l_shipdate >= '{first}' AND l_shipdate < '{stop}'"


def days_of(sql: str) -> tuple[date, date]:
    """Returns the days of such a query."""
    first, stop = (date.fromisoformat(found) for found in re.findall(r"'([\d-]{10})'", sql))
    return first, stop


def cut(first: date, stop: date, parts: int) -> list[tuple[date, date]]:
    """Returns the days in parts that are equally long."""
    edges = [first + timedelta(days=(stop - first).days * number // parts) for number in range(parts + 1)]
    return list(itertools.pairwise(edges))
