"""Sheet names, table headers and column letters that Excel accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_SHEET_NAME_LENGTH = 31
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f\ufffe\uffff]")
_EDGES = "' \t\n\u00a0\u3000"  # Excel rejects apostrophes at either end of a name and hides blanks there


def sheet_name(wanted: str, taken: set[str], *, number: int = 1) -> str:
    r"""Returns a valid sheet name similar to ``wanted``, and adds its lowercase form to ``taken``.

    A sheet name must have at most 31 characters, contain none of ``[]:*?/\``, not begin or end with an apostrophe, not
    be "History", and be unique in the workbook, ignoring case.

    Args:
        wanted: any string.
        taken: the lowercase names of the workbook's other sheets.
        number: a number to append to the name if it is at least 2, as in ``Rows (2)``.
    """
    plain = _FORBIDDEN.sub("-", wanted).strip(_EDGES) or "Rows"
    if plain.casefold() == "history":
        plain = f"{plain}-"
    while True:
        suffix = f" ({number})" if number > 1 else ""
        name = _cut(plain, MAX_SHEET_NAME_LENGTH - len(suffix)).rstrip(_EDGES) + suffix
        if name.casefold() not in taken:
            taken.add(name.casefold())
            return name
        number += 1


def _cut(text: str, units: int) -> str:
    """Truncates a string to a given number of UTF-16 code units, Excel's unit of length; an emoji takes two."""
    while len(text.encode("utf-16-le")) > 2 * units:
        text = text[:-1]
    return text


def table_headers(titles: Iterable[str]) -> list[str]:
    """Returns titles that are valid in an Excel table: none is blank, and all are unique, ignoring case."""
    taken: set[str] = set()
    headers = []
    for position, title in enumerate(titles, 1):
        plain = title.strip() or f"Column {position}"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name.casefold())
        headers.append(name)
    return headers


def column_letters(position: int) -> str:
    """Returns a column's letters: A for column 0, AA for column 26."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
