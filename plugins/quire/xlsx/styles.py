"""A workbook's cell formats, and each column type's default number format."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from xlsxwriter import Workbook as Book
from xlsxwriter.format import Format

INK, MUTED, LINE, SHADE, ACCENT = "#1F2933", "#66727F", "#B8C2CC", "#E8EDF2", "#1F5A85"
CHART_COLORS = ("#1F5A85", "#D9822B", "#6B8E4E", "#8A5A83", "#66727F", "#B03A48")
FONT = {"font_name": "Calibri", "font_size": 11, "font_color": INK}

# Right-aligned titles are indented further, because Excel's filter button would cover their last letters.
HEADER_INDENTS = {"left": 1, "center": 0, "right": 2}

# A section of a format code: colors and conditions, which must come first, then everything else. Semicolons in quotes,
# in brackets or after \ _ or * do not end a section. [h], [m] and [s] are times, and [$…] is a currency.
_SECTION = re.compile(
    r'((?:\[(?!h+\]|m+\]|s+\]|\$)[^\[\]]*+\])*)((?:"[^"]*+(?:"|\Z)|[\\_*].|\[[^\[\]]*+\]|[^;])+)',
    re.IGNORECASE | re.DOTALL,
)
# A number's digits in a section; quoted text and brackets are matched first because they may contain digits.
_DIGITS = re.compile(r'"[^"]*+(?:"|\Z)|\[[^\]]*+(?:\]|\Z)|[\\_*].|(?P<digits>[#0?.](?:[#0?,.]*[#0?.])?)', re.DOTALL)
MAX_FORMAT_LENGTH, MAX_DECIMALS = 255, 30  # Excel's limits for a format code
# Excel shows booleans as words whatever the code; without this one, LibreOffice prints 1 and 0 on some pages.
BOOLEAN = '"TRUE";"TRUE";"FALSE"'


class Formats:
    """The cell formats of one workbook; each is created only once, when it is first used."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._formats: dict[tuple[tuple[str, Any], ...], Format] = {}

    def of(self, **properties: Any) -> Format:
        """Returns the format with these properties and the default font."""
        properties = {**FONT, **properties}
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self._book.add_format(properties)
        return self._formats[key]

    def header(self, side: str, *, has_filter: bool = True) -> Format:
        """Returns the format for a column title, aligned like the column's values: left, center or right."""
        indent = HEADER_INDENTS[side] if has_filter or side == "left" else 0
        return self.of(
            bold=True, bg_color=SHADE, bottom=1, bottom_color=LINE, text_wrap=True, valign="vcenter",
            align=side, indent=indent,
        )  # fmt: skip

    def value(self, number_format: str, side: str = "right") -> Format:
        """Returns the format for a value."""
        return self.of(num_format=number_format, valign="vcenter", align=side)

    def text(self, *, quoted: bool = False) -> Format:
        """Returns the format for text; if quoted, the cell remains text after a user edits it."""
        properties = {"align": "left", "indent": 1, "valign": "vcenter"}  # separates text from a number to its left
        return self.of(**properties, quote_prefix=True) if quoted else self.of(**properties)

    def total(self, number_format: str, function: str = "sum") -> Format:
        """Returns the format for a total, which shows the function's name unless the function is sum or count."""
        code = number_format if function in ("sum", "count") else with_word(number_format, function)
        return self.of(num_format=code, bold=True, top=1, top_color=LINE, valign="vcenter")

    def quoted_total(self) -> Format:
        """Returns the format for a total written as text; the cell remains text after a user edits it."""
        return self.of(bold=True, top=1, top_color=LINE, valign="vcenter", align="right", quote_prefix=True)

    def total_label(self) -> Format:
        """Returns the format for the label to the left of the totals."""
        return self.of(bold=True, top=1, top_color=LINE, align="left", indent=1, valign="vcenter")


def with_word(number_format: str, word: str) -> str:
    """Returns a format code that shows a word before the number in every nonempty section.

    If the result would exceed Excel's limit, returns the code unchanged.
    """
    code = _SECTION.sub(lambda section: f'{section[1]}"{word} "{section[2]}', number_format)
    return code if len(code) <= MAX_FORMAT_LENGTH else number_format


def with_decimal(number_format: str) -> str:
    """Returns a format code in which every section for integers shows one decimal place."""
    return _SECTION.sub(lambda section: section[1] + _section_with_decimal(section[2]), number_format)


def _section_with_decimal(section: str) -> str:
    matches = [match for match in _DIGITS.finditer(section) if match["digits"]]
    if len(matches) != 1 or "." in matches[0]["digits"]:
        return section
    end = matches[0].end()
    return f"{section[:end]}.0{section[end:]}"


def number_format(kind: pa.DataType) -> str:
    """Returns a type's default format code."""
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


def total_number_format(code: str, function: str) -> str:
    """Returns the format code for a total over values whose format code is ``code``."""
    if function == "count":
        return "#,##0"
    if code == BOOLEAN:
        return "General"
    return with_decimal(code) if function == "mean" else code  # the mean of integers may have a fractional part


def side_of(kind: pa.DataType) -> str:
    """Returns the horizontal alignment for a type's values: left, center or right."""
    if pa.types.is_boolean(kind):
        return "center"
    return "left" if pa.types.is_string(kind) else "right"
