"""How a workbook looks: one restrained set of formats, and the number formats of types."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from xlsxwriter import Workbook as Book
from xlsxwriter.format import Format

INK, MUTED, LINE, SHADE, ACCENT = "#1F2933", "#66727F", "#B8C2CC", "#E8EDF2", "#1F5A85"
CHART_COLOURS = ("#1F5A85", "#D9822B", "#6B8E4E", "#8A5A83", "#66727F", "#B03A48")
FONT = {"font_name": "Calibri", "font_size": 11, "font_color": INK}

# of titles: those at the right make room for Excel's filter button, which would cover their last letters
HEADER_INDENTS = {"left": 1, "center": 0, "right": 2}

# One section of a format code: colours and conditions, which must come first in it, then whatever else it has. What
# stands in quotes or brackets, or behind one of \ _ *, divides nothing; [h], [m] and [s] are times, [$…] a currency.
_SECTION = re.compile(
    r'((?:\[(?!h+\]|m+\]|s+\]|\$)[^\[\]]*+\])*)((?:"[^"]*+(?:"|\Z)|[\\_*].|\[[^\[\]]*+\]|[^;])+)',
    re.IGNORECASE | re.DOTALL,
)
# The places of a number's digits in a section, found beside texts and brackets, which may look like them.
_DIGITS = re.compile(r'"[^"]*+(?:"|\Z)|\[[^\]]*+(?:\]|\Z)|[\\_*].|(?P<digits>[#0?.](?:[#0?,.]*[#0?.])?)', re.DOTALL)
MAX_FORMAT_LENGTH, MAX_DECIMALS = 255, 30  # Excel's own, of a format code
# Excel shows booleans as words whatever the code says; LibreOffice prints 1 and 0 on some pages unless told.
BOOLEAN = '"TRUE";"TRUE";"FALSE"'


class Formats:
    """The formats of one workbook, each made once, in the order they are asked for."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._made: dict[tuple[tuple[str, Any], ...], Format] = {}

    def of(self, **properties: Any) -> Format:
        """Returns the format with these properties over the usual font."""
        wanted = {**FONT, **properties}
        key = tuple(sorted(wanted.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format(wanted)
        return self._made[key]

    def header(self, side: str, *, has_filter: bool = True) -> Format:
        """Returns the format of a column's title: left, center or right, as its values are."""
        indent = HEADER_INDENTS[side] if has_filter or side == "left" else 0
        return self.of(
            bold=True, bg_color=SHADE, bottom=1, bottom_color=LINE, text_wrap=True, valign="vcenter",
            align=side, indent=indent,
        )  # fmt: skip

    def value(self, number_format: str, side: str = "right") -> Format:
        """Returns the format of a value."""
        return self.of(num_format=number_format, valign="vcenter", align=side)

    def text(self, *, quoted: bool = False) -> Format:
        """Returns the format of a text; a quoted one stays text where a person edits it."""
        look = {"align": "left", "indent": 1, "valign": "vcenter"}  # the indent keeps it apart from a number before it
        return self.of(**look, quote_prefix=True) if quoted else self.of(**look)

    def total(self, number_format: str, function: str = "sum") -> Format:
        """Returns the format of a total, which says its function where that is not the one everybody expects."""
        said = number_format if function in ("sum", "count") else with_word(number_format, function)
        return self.of(num_format=said, bold=True, top=1, top_color=LINE, valign="vcenter")

    def quoted_total(self) -> Format:
        """Returns the format of a total that is a text which stays one where a person edits it."""
        return self.of(bold=True, top=1, top_color=LINE, valign="vcenter", align="right", quote_prefix=True)

    def total_label(self) -> Format:
        """Returns the format of what stands before the totals."""
        return self.of(bold=True, top=1, top_color=LINE, align="left", indent=1, valign="vcenter")


def with_word(number_format: str, word: str) -> str:
    """Returns a format code that shows a word before the number, in each of its sections that shows anything.

    Where that would be more than a format code may have, there is no word.
    """
    told = _SECTION.sub(lambda section: f'{section[1]}"{word} "{section[2]}', number_format)
    return told if len(told) <= MAX_FORMAT_LENGTH else number_format


def with_decimal(number_format: str) -> str:
    """Returns a format code that shows a decimal, in each of its sections that shows a whole number."""
    return _SECTION.sub(lambda section: section[1] + _one_decimal(section[2]), number_format)


def _one_decimal(section: str) -> str:
    found = [match for match in _DIGITS.finditer(section) if match["digits"]]
    if len(found) != 1 or "." in found[0]["digits"]:
        return section
    return f"{section[: found[0].end()]}.0{section[found[0].end() :]}"


def number_format(kind: pa.DataType) -> str:
    """Returns the Excel format code of a type's values."""
    if pa.types.is_decimal(kind):
        return f"#,##0.{'0' * min(kind.scale, MAX_DECIMALS)}" if kind.scale > 0 else "0"
    if pa.types.is_integer(kind):
        return "0"
    if pa.types.is_date(kind):
        return "yyyy-mm-dd"
    if pa.types.is_timestamp(kind):
        return "yyyy-mm-dd hh:mm:ss"
    if pa.types.is_time(kind):
        return "hh:mm:ss"
    return BOOLEAN if pa.types.is_boolean(kind) else "General"


def total_number_format(shown: str, function: str) -> str:
    """Returns the Excel format code of a total over values that are shown by another: a number, whatever it counts."""
    if function == "count":
        return "#,##0"
    if shown == BOOLEAN:
        return "General"
    return with_decimal(shown) if function == "mean" else shown  # 1.5 of whole numbers is not 2


def side_of(kind: pa.DataType) -> str:
    """Returns where a type's values stand in their cells: left, center or right."""
    if pa.types.is_boolean(kind):
        return "center"
    return "left" if pa.types.is_string(kind) else "right"
