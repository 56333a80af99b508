"""What ``quire check`` advises of a query's text alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from quire.report.sql_template import bare_code

_WORD = re.compile(r"[^\W\d][\w$]*+|[()]")


def advice_of_query(sql: str) -> Iterator[str]:
    """Gives what would surprise its author: the query runs once for each partition, not once for the range."""
    words = list(_outer_words(sql))
    for clause in ("limit", "offset", "fetch"):
        if clause in words:
            yield (
                f"the query has {clause.upper()}, which counts in each partition by itself: another partition or range "
                "gives other rows; leave it out, or put it into a subquery that does not depend on the range"
            )
    if any(pair == ("select", "distinct") for pair in pairwise(words)):
        yield (
            "the query is SELECT DISTINCT, which holds in each partition by itself: a row can repeat in "
            "another partition"
        )


def _outer_words(sql: str) -> Iterator[str]:
    """Gives the words outside of parentheses, quotes and comments, in small letters."""
    depth = 0
    for match in _WORD.finditer(bare_code(sql)):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
        elif depth == 0:
            yield match[0].lower()
