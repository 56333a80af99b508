"""Checks on lists of names: duplicates, and the known name closest to a misspelling."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable

MAX_SUGGESTED_LENGTH = 100  # of a word: the search for a similar one takes time with its length


def suggestion(word: object, known: Iterable[str]) -> str:
    """Returns ``; did you mean X?`` for a likely misspelling of a known word, else nothing.

    Words over ``MAX_SUGGESTED_LENGTH`` are no misspelling of anything.
    """
    text = str(word)
    if len(text) > MAX_SUGGESTED_LENGTH:
        return ""
    close = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def find_duplicates(words: Iterable[str]) -> list[str]:
    """Returns the words that occur more than once."""
    return [word for word, count in Counter(words).items() if count > 1]


def duplicates_ignoring_case(words: Iterable[str]) -> list[str]:
    """Returns the words that Excel takes for the same as an earlier one: it has no regard to case."""
    seen: set[str] = set()
    again = []
    for word in words:
        if word.casefold() in seen:
            again.append(word)
        seen.add(word.casefold())
    return again
