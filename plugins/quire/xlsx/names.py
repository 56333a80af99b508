"""Names and addresses that Excel takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_SHEET_NAME_LENGTH = 31
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f\ufffe\uffff]")
_EDGES = "' \t\n\u00a0\u3000"  # no apostrophe may stand there; no blank is seen there


def sheet_name(wanted: str, taken: set[str], *, number: int = 1) -> str:
    r"""Returns a name as near to the wanted one as Excel allows, and adds it to ``taken`` (in small letters).

    At most 31 characters, none of ``[]:*?/\``, no apostrophe at either end, not History, no other sheet's name
    without regard to case.

    Args:
        wanted: any text.
        taken: names of the workbook's other sheets.
        number: from 2 on, the name ends in it: ``Rows (2)``.
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
    """Returns the beginning of a text: Excel counts UTF-16 units, of which an emoji has two."""
    while len(text.encode("utf-16-le")) > 2 * units:
        text = text[:-1]
    return text


def table_headers(titles: Iterable[str]) -> list[str]:
    """Returns titles as the header of an Excel table needs them: none blank, none twice without regard to case."""
    taken: set[str] = set()
    found = []
    for position, title in enumerate(titles, 1):
        plain = title.strip() or f"Column {position}"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name.casefold())
        found.append(name)
    return found


def column_letters(position: int) -> str:
    """Returns the letters of a column, counted from 0: 0 is A, 26 is AA."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
