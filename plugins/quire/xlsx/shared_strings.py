"""The workbook's shared string table, which has a size limit, for columns with few distinct values.

Shared strings make the file smaller, and Apple Numbers displays them, unlike inline strings.
"""

from __future__ import annotations

from collections.abc import Iterable

from quire.xlsx.xml_text import escape_text

MAX_BYTES = 64 * 2**20
ITEM_BYTES = 400  # a string's memory overhead in this table and in its column


class SharedStrings:
    """Strings in order of first use, after the header's strings.

    Args:
        first: the header's strings, as XML elements.
    """

    def __init__(self, first: Iterable[str]) -> None:
        self.items = list(first)
        self.header = len(self.items)
        self._numbers: dict[str, int] = {}
        self._bytes = 0

    def has_room(self, count: int, size: int) -> bool:
        """Returns whether there is room for ``count`` more strings with a total size of ``size`` bytes."""
        return self._bytes + count * ITEM_BYTES + 4 * size <= MAX_BYTES

    def number(self, text: str) -> int:
        """Returns the position of a string of at most 32,767 characters, adding the string if it is new."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.items)
            self._bytes += ITEM_BYTES + 4 * len(text)
            self.items.append(f'<si><t xml:space="preserve">{escape_text(text)}</t></si>')
        return number
