"""Finds duplicate names, and suggests the closest valid name for a misspelled name."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable

MAX_SUGGESTED_LENGTH = 100  # in characters, because longer words take longer to compare


def suggestion(word: object, names: Iterable[str]) -> str:
    """Returns ``; did you mean X?`` if a word resembles one of the names; otherwise, an empty string.

    If a word is longer than ``MAX_SUGGESTED_LENGTH``, returns an empty string.
    """
    text = str(word)
    if len(text) > MAX_SUGGESTED_LENGTH:
        return ""
    close = difflib.get_close_matches(text, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def find_duplicates(words: Iterable[str]) -> list[str]:
    """Returns the words that occur more than once."""
    return [word for word, count in Counter(words).items() if count > 1]


def duplicates_ignoring_case(words: Iterable[str]) -> list[str]:
    """Returns the words that are equal to an earlier word; like Excel, ignores case."""
    seen: set[str] = set()
    repeated = []
    for word in words:
        if word.casefold() in seen:
            repeated.append(word)
        seen.add(word.casefold())
    return repeated
