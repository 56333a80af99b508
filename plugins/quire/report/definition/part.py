"""What all parts of a definition share: they are frozen, refuse unknown keys, and say where they are wrong."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

FAULT = "quire_fault"
MAX_SUGGESTED_LENGTH = 100  # of a word: the search for a similar one takes time with its length


class Part(BaseModel):
    """A mapping of the YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def fault(reason: str, *path: str | int) -> PydanticCustomError:
    """Returns an error for a validator of a whole part to raise.

    Args:
        reason: what is wrong, in words that follow the field's path and a colon.
        path: the field inside the part; pydantic alone would only name the part.
    """
    return PydanticCustomError(FAULT, "{reason}", {"reason": reason, "path": path})


def suggestion(word: object, known: Iterable[str]) -> str:
    """Returns ``; did you mean X?`` for a likely misspelling of a known word, else nothing.

    Words over ``MAX_SUGGESTED_LENGTH`` are no misspelling of anything.
    """
    text = str(word)
    if len(text) > MAX_SUGGESTED_LENGTH:
        return ""
    close = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def kind_of_value(value: Any) -> str:
    """Tells apart what may be written as one word or as a mapping, so that errors speak of the one that was meant."""
    return "<word>" if isinstance(value, str) else "<mapping>"


def duplicates(words: Iterable[str]) -> list[str]:
    """Returns the words that occur more than once."""
    return [word for word, count in Counter(words).items() if count > 1]


def duplicates_for_excel(words: Iterable[str]) -> list[str]:
    """Returns the words that Excel takes for the same as an earlier one: it has no regard to case."""
    seen: set[str] = set()
    again = []
    for word in words:
        if word.casefold() in seen:
            again.append(word)
        seen.add(word.casefold())
    return again
