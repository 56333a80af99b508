"""Tests column widths, ignored errors and footers of detail sheets."""

from __future__ import annotations

import pyarrow as pa
import pytest
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import SheetColumn
from quire.xlsx.widths import display_width

from tests.xlsx.books import cell, parts, write_rows

TEXTS = pa.schema([("v", pa.string())])


def width(texts: list[str | None], **column: object) -> float:
    columns = [SheetColumn(name="v", title="V", **column)]  # type: ignore[arg-type]
    body, _ = write_rows([{"v": text} for text in texts], TEXTS, columns=columns)
    column_width: float = cell(body, "A1").parent.column_dimensions["A"].width
    return column_width


def test_column_width_in_definition_overrides_content() -> None:
    assert width(["x" * 40], width=12.0) == pytest.approx(12, abs=1)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], 8),
        ([None], 8),
        (["x" * 20, "y"], 21),
        (["x" * 500], 48),
        (["\u4e2d" * 10], 21),
        (["x" * 20 + "\n" + "y" * 40], 21),
        (["x"] * 1000 + ["x" * 40], 8),
    ],
)
def test_column_width_not_in_definition_follows_first_rows(texts: list[str | None], expected: float) -> None:
    assert width(texts) == pytest.approx(expected, abs=1)


def test_display_width_measures_beginning_of_first_line() -> None:
    assert display_width("x" * 10_000_000) == 255
    assert display_width("\u4e2d" * 1000) == 510
    assert display_width("two\nlines") == 3


def test_detail_sheets_have_footer_and_ignore_text_errors() -> None:
    columns = [SheetColumn(name="v", title="V"), SheetColumn(name="v", title="W")]
    rows = [{"v": str(number)} for number in range(15)]
    body, outcome = write_rows(rows, TEXTS, columns=columns, limits=Limits(sheet_rows=11))
    assert len(outcome.sheets) == 2
    for number in (1, 2):
        sheet = parts(body)[f"xl/worksheets/sheet{number}.xml"].decode()
        assert "<oddFooter>&amp;L&amp;8&amp;A&amp;R&amp;8Page &amp;P of &amp;N</oddFooter>" in sheet
        assert '<ignoredError sqref="A1:B1048576" numberStoredAsText="1"/>' in sheet
        assert '<ignoredError sqref="A1:B1048576" twoDigitTextYear="1"/>' in sheet
