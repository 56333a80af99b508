"""Strings are read back unchanged, including formulas, links, numbers, control characters and long strings."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pyarrow as pa
import pytest
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.xml_text import MAX_TEXT_LENGTH, cut_text, escape_text

from tests.xlsx.books import book_of, by_openpyxl, calamine, cell, parts, write, write_rows

SCHEMA = pa.schema([("v", pa.string())])
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LOOKALIKES = [
    "=1+1", "+1", "-5", "@x", "\tx", "{=SUM(A1)}", "https://example.org/", "00123", "1e5", "TRUE", "#N/A", "2013-01-01",
    "mailto:a@b.c", "=cmd|' /C calc'!A0", "'quoted", " lead", "trail ", "two\nlines", "tab\tin", "&amp;<b>\"'>", "]]>",
]  # fmt: skip


INLINE = Limits(shared_rows=0)


@pytest.fixture(scope="module", params=["shared", "inline"])
def preceding(request: pytest.FixtureRequest) -> list[str]:
    """Returns rows that precede the tested rows and make a column use shared or inline strings."""
    return ["same"] * 600 if request.param == "shared" else [f"other {number}" for number in range(600)]


def column(texts: Sequence[str | None], *, limits: Limits = INLINE) -> bytes:
    batch = pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=SCHEMA)
    files, _ = write(book_of([batch], SCHEMA), limits=limits)
    return files.bodies[0]


@pytest.fixture(scope="module")
def lookalikes(preceding: list[str]) -> bytes:
    """Returns a workbook with all lookalikes after the preceding rows."""
    return column([*preceding, *LOOKALIKES])


@pytest.mark.parametrize("text", LOOKALIKES)
def test_text_that_looks_like_another_type_stays_text(preceding: list[str], lookalikes: bytes, text: str) -> None:
    row = len(preceding) + 1 + LOOKALIKES.index(text)
    text_cell = cell(lookalikes, f"A{row + 1}")
    assert (text_cell.value, text_cell.data_type, text_cell.hyperlink) == (text, "s", None)
    assert calamine(lookalikes)[row][0] == text
    assert text_cell.style is not None
    assert bool(text_cell.quotePrefix) is (text[0] in "=+-@\t")


def test_text_column_with_few_distinct_values_is_shared() -> None:
    repetitive, distinct = parts(column(["a", "b"] * 300)), parts(column([f"n{number}" for number in range(8_000)]))
    assert b"inlineStr" not in repetitive["xl/worksheets/sheet1.xml"]
    assert b">a</t>" in repetitive["xl/sharedStrings.xml"]
    assert b"n599" in distinct["xl/worksheets/sheet1.xml"]
    assert b"n599" not in distinct["xl/sharedStrings.xml"]


def test_text_column_of_small_table_is_always_shared() -> None:
    package = parts(column([f"n{number}" for number in range(20_000)], limits=Limits()))
    assert b"inlineStr" not in package["xl/worksheets/sheet1.xml"]
    assert b">n19999</t>" in package["xl/sharedStrings.xml"]


def test_text_column_that_stops_repeating_switches_to_inline_strings() -> None:
    texts = [f"v{number % 7}" for number in range(9000)] + [f"w{number}" for number in range(20_000)]
    assert [row[0] for row in calamine(column(texts))[1:]] == texts


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\x01b", "a_x0001_b"),
        ("a\rb", "a_x000D_b"),
        ("a\r\nb", "a_x000D_\nb"),
        ("\ufffe\uffff", "_xFFFE__xFFFF_"),
        ("_x0041_", "_x005F_x0041_"),
        ("_x0041_x0042_", "_x005F_x0041_x005F_x0042_"),
        ("_x004_", "_x004_"),
        ("_X0041_", "_X0041_"),
        ("<&>", "&lt;&amp;&gt;"),
        ("\x0b\x0c\x1f", "_x000B__x000C__x001F_"),
        ("😀", "😀"),
    ],
)
def test_characters_forbidden_in_xml_are_escaped_like_excel(preceding: list[str], text: str, stored: str) -> None:
    assert escape_text(text) == stored
    package = parts(column([*preceding, text]))
    xml = package["xl/worksheets/sheet1.xml"] + package["xl/sharedStrings.xml"]
    assert f'<t xml:space="preserve">{stored}</t>'.encode() in xml


def test_text_longer_than_a_cell_is_truncated_with_a_note(preceding: list[str]) -> None:
    rows = [{"v": text} for text in [*preceding, "x" * MAX_TEXT_LENGTH, "y" * (MAX_TEXT_LENGTH + 1)]]
    body, outcome = write_rows(rows, SCHEMA, limits=INLINE)
    texts = [row[0] for row in by_openpyxl(body)[-2:]]
    assert texts == ["x" * MAX_TEXT_LENGTH, "y" * MAX_TEXT_LENGTH]
    assert outcome.notes == ("v: 1 value exceeded the limit of 32,767 characters per cell and was truncated.",)


def test_cut_text_does_not_split_surrogate_pairs() -> None:
    emoji = "😀" * (MAX_TEXT_LENGTH // 2 + 1)  # each emoji takes two UTF-16 code units, but the limit is odd
    assert cut_text(emoji) == "😀" * (MAX_TEXT_LENGTH // 2)
    assert cut_text("a" + emoji) == "a" + "😀" * (MAX_TEXT_LENGTH // 2)
    body, _ = write_rows([{"v": emoji}], SCHEMA)
    assert calamine(body)[1][0] == "😀" * (MAX_TEXT_LENGTH // 2)


def test_links_beyond_excel_limit_are_texts() -> None:
    texts: list[str | None] = [f"https://example.org/{number}" for number in range(65_531)]
    package = parts(column(texts))
    assert not [name for name in package if "worksheets/_rels" in name]
    assert not re.search(rb"<hyperlink", package["xl/worksheets/sheet1.xml"])
    assert calamine(column(texts))[-1][0] == texts[-1]


@pytest.mark.parametrize("limits", [INLINE, Limits()])
def test_empty_text_has_a_cell_and_null_has_none(limits: Limits) -> None:
    package = parts(column(["", None, "x"], limits=limits))
    sheet = ElementTree.fromstring(package["xl/worksheets/sheet1.xml"])  # noqa: S314 - written by Quire
    cells = {element.get("r"): element for element in sheet.iter(f"{{{MAIN}}}c")}
    assert list(cells) == ["A1", "A2", "A4"]
    if cells["A2"].get("t") == "inlineStr":
        text = cells["A2"].find(f"{{{MAIN}}}is/{{{MAIN}}}t")
    else:
        strings = ElementTree.fromstring(package["xl/sharedStrings.xml"])  # noqa: S314 - written by Quire
        position = int(cells["A2"].findtext(f"{{{MAIN}}}v") or "-1")
        text = strings.findall(f"{{{MAIN}}}si")[position].find(f"{{{MAIN}}}t")
    assert text is not None
    assert (text.text or "") == ""
