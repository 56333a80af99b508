"""Texts as XML that Excel reads back as they were."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    import polars as pl

MAX_TEXT_LENGTH = 32_767  # UTF-16 units, Excel's limit of a cell
# What begins a formula where a person edits the cell; quotePrefix keeps it a text.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
QUOTED = r"^[=+\-@\t\r]"
# Excel's own escapes: what XML forbids, CR (which XML would turn into LF), and a literal that looks like an escape.
_FORBIDDEN = r"\x00-\x08\x0b-\x1f\x{FFFE}\x{FFFF}"
RARE = rf"[{_FORBIDDEN}]|_x[0-9A-Fa-f]{{4}}_"
_ESCAPED = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_MARKUP = ["&", "<", ">"]
_ENTITIES = ["&amp;", "&lt;", "&gt;"]


def longest(texts: pl.Series) -> int:
    """Returns how many bytes the longest text has, in UTF-8."""
    most = texts.str.len_bytes().max()
    return most if isinstance(most, int) else 0


def cut_text(text: str) -> str:
    """Returns what a cell holds of a text: its first 32,767 UTF-16 units, never half a surrogate pair."""
    if len(text) <= MAX_TEXT_LENGTH // 2:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * MAX_TEXT_LENGTH:
        return text
    return units[: 2 * MAX_TEXT_LENGTH].decode("utf-16-le", "ignore")


def cut_texts(texts: pl.Series) -> tuple[pl.Series, int]:
    """Returns the same of a whole column, and how many texts had to be cut."""
    if longest(texts) <= MAX_TEXT_LENGTH:  # never fewer bytes than UTF-16 units
        return texts, 0
    import polars as pl  # not where single texts are cut only

    shortened = texts.map_elements(cut_text, return_dtype=pl.String)
    return shortened, int((shortened.str.len_bytes() != texts.str.len_bytes()).sum())


def escape_text(text: str) -> str:
    """Returns a text as the content of an XML element, with Excel's own escapes."""
    return escape(_ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text))


def escape_texts(texts: pl.Series) -> pl.Series:
    """Returns the same of a whole column."""
    import polars as pl

    rare = texts.str.contains(RARE)
    if rare.any():
        odd = texts.filter(rare).unique()
        changed = pl.Series([escape_text(text) for text in odd], dtype=pl.String)
        plain = texts.str.replace_many(_MARKUP, _ENTITIES)
        return texts.replace_strict(odd, changed, default=plain)
    return texts.str.replace_many(_MARKUP, _ENTITIES)
