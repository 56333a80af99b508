"""Finds clauses in a query's text that ``quire check`` should warn about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from quire.report.sql_template import bare_code

_WORD = re.compile(r"[^\W\d][\w$]*+|[()]")


def query_advice(sql: str) -> Iterator[str]:
    """Yields a warning for each clause that has a surprising effect because the query runs once per partition."""
    words = list(_outer_words(sql))
    for clause in ("limit", "offset", "fetch"):
        if clause in words:
            yield (
                f"the query has {clause.upper()}, which applies to each partition separately: the rows depend on the "
                "partition size and the date range. Remove it, or move it into a subquery that does not depend on the "
                "date range"
            )
    if any(pair == ("select", "distinct") for pair in pairwise(words)):
        yield (
            "the query is SELECT DISTINCT, which applies to each partition separately: a row can appear in more than "
            "one partition"
        )


def _outer_words(sql: str) -> Iterator[str]:
    """Yields a query's words outside parentheses, quotes and comments, in lowercase."""
    depth = 0
    for match in _WORD.finditer(bare_code(sql)):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
        elif depth == 0:
            yield match[0].lower()
