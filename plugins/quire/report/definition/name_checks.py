"""Finds duplicate names, and suggests the closest known name for a misspelled name."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable

MAX_SUGGESTED_LENGTH = 100  # in characters, because comparison time grows with length


def suggestion(word: object, names: Iterable[str]) -> str:
    """Returns ``; did you mean X?`` if a word resembles one of the names, otherwise an empty string.

    Words longer than ``MAX_SUGGESTED_LENGTH`` get no suggestion.
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
    """Returns the words that equal an earlier word if case is ignored, as in Excel."""
    seen: set[str] = set()
    repeated = []
    for word in words:
        if word.casefold() in seen:
            repeated.append(word)
        seen.add(word.casefold())
    return repeated
