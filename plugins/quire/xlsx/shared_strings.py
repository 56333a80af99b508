"""The workbook's table of shared strings, bounded: for columns of few distinct values.

Such columns make a smaller file, and Apple's Numbers shows no other texts.
"""

from __future__ import annotations

from collections.abc import Iterable

from quire.xlsx.xml_text import escape_text

MAX_BYTES = 64 * 2**20
ITEM_BYTES = 400  # of memory that a string takes here and in its column, beside its own letters


class SharedStrings:
    """Strings in the order they were met, after those of the header.

    Args:
        first: strings that are in the table already, as XML items.
    """

    def __init__(self, first: Iterable[str]) -> None:
        self.items = list(first)
        self.header = len(self.items)
        self._numbers: dict[str, int] = {}
        self._bytes = 0

    def takes(self, count: int, letters: int) -> bool:
        """Whether so many more strings, of so many bytes together, should be added."""
        return self._bytes + count * ITEM_BYTES + 4 * letters <= MAX_BYTES

    def number(self, text: str) -> int:
        """Returns the place of a text of at most 32,767 characters in the table, which takes it in where it is new."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.items)
            self._bytes += ITEM_BYTES + 4 * len(text)
            self.items.append(f'<si><t xml:space="preserve">{escape_text(text)}</t></si>')
        return number
