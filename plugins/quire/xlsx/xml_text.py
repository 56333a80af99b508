"""Escapes and truncates text for a cell's XML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MAX_TEXT_LENGTH = 32_767  # in UTF-16 code units, Excel's limit for a cell
# When a user edits text that starts with one of these, Excel turns it into a formula unless the style has quotePrefix.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
QUOTED = r"^[=+\-@\t\r]"
# Excel escapes characters that XML forbids, CR (which XML would turn into LF), and text that looks like an escape.
_FORBIDDEN = r"\x00-\x08\x0b-\x1f\x{FFFE}\x{FFFF}"
RARE = rf"[{_FORBIDDEN}]|_x[0-9A-Fa-f]{{4}}_"
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_MARKUP = ["&", "<", ">"]
_ENTITIES = ["&amp;", "&lt;", "&gt;"]
_ESCAPES = str.maketrans(
    dict(zip(_MARKUP, _ENTITIES, strict=True))
    | {chr(code): f"_x{code:04X}_" for code in (*range(0x20), 0xFFFE, 0xFFFF) if chr(code) not in "\t\n"}
)


def longest(texts: pl.Series) -> int:
    """Returns the longest string's length, in UTF-8 bytes."""
    length = texts.str.len_bytes().max()
    return length if isinstance(length, int) else 0


def cut_text(text: str) -> str:
    """Truncates a string to 32,767 UTF-16 code units, Excel's limit for a cell, without splitting a surrogate pair."""
    if len(text) <= MAX_TEXT_LENGTH // 2:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * MAX_TEXT_LENGTH:
        return text
    return units[: 2 * MAX_TEXT_LENGTH].decode("utf-16-le", "ignore")


def cut_texts(texts: pl.Series) -> tuple[pl.Series, int]:
    """Applies ``cut_text`` to a column, and also returns how many strings were truncated."""
    if longest(texts) <= MAX_TEXT_LENGTH:  # a string has at least as many bytes as UTF-16 code units
        return texts, 0
    import polars as pl  # imported here because truncating a single string does not require Polars

    shortened = texts.map_elements(cut_text, return_dtype=pl.String)
    return shortened, int((shortened.str.len_bytes() != texts.str.len_bytes()).sum())


def escape_text(text: str) -> str:
    """Escapes a string for an XML element's content, including Excel's own escapes."""
    return _LOOKS_ESCAPED.sub("_x005F_", text).translate(_ESCAPES)


def escape_texts(texts: pl.Series) -> pl.Series:
    """Applies ``escape_text`` to a column."""
    import polars as pl

    rare = texts.str.contains(RARE)
    if rare.any():
        rare_texts = texts.filter(rare).unique()
        escaped = pl.Series([escape_text(text) for text in rare_texts], dtype=pl.String)
        plain = texts.str.replace_many(_MARKUP, _ENTITIES)
        return texts.replace_strict(rare_texts, escaped, default=plain)
    return texts.str.replace_many(_MARKUP, _ENTITIES)
