"""Any string can serve as a column title or sheet name."""

from __future__ import annotations

import io

import openpyxl
import pyarrow as pa
import pytest
from quire.xlsx.model import SheetColumn

from tests.xlsx.books import calamine, cell, write_rows

NUMBERS = pa.schema([("n", pa.int32())])


def test_sheet_500_columns_and_unusual_titles_read_back() -> None:
    names = [f"c{number}" for number in range(500)]
    titles = ["Same", "same", "", " ", *(f"T{number}" for number in range(496))]
    schema = pa.schema([(name, pa.int32()) for name in names])
    columns = [SheetColumn(name=name, title=title) for name, title in zip(names, titles, strict=True)]
    body, _ = write_rows([dict.fromkeys(names, 1)] * 3, schema, columns=columns)
    header, *rows = calamine(body)
    assert header == titles
    assert rows == [[1.0] * 500] * 3
    assert cell(body, "SF4").value == 1


def test_header_titles_longer_than_a_cell_are_truncated_in_a_row_of_limited_height() -> None:
    titles = ["x" * 40_000, "😀" * 20_000, "two words " * 4_000]
    columns = [SheetColumn(name="n", title=title) for title in titles]
    body, _ = write_rows([{"n": 1}], NUMBERS, columns=columns)
    assert calamine(body) == [["x" * 32_767, "😀" * 16_383, titles[2][:32_767]], [1.0, 1.0, 1.0]]
    assert cell(body, "A1").parent.row_dimensions[1].height == 408.75  # Excel's limit is 409.5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b:c*d?e[f]g\\h", "a-b-c-d-e-f-g-h"),
        ("A name of forty characters, with slashes", "A name of forty characters, wit"),
        ("North/South/East/West/Up/Down/Left/Right", "North-South-East-West-Up-Down-L"),
        ("North/South/East/West/Up/Down/ Left/Right", "North-South-East-West-Up-Down-"),
        ("History", "History-"),
        ("hISTORY", "hISTORY-"),
        ("  History\u00a0", "History-"),
        ("'History'", "History-"),
        ("'quoted'", "quoted"),
        ("", "Rows"),
        ("😀" * 20, "😀" * 15),
        ("about", "about"),
    ],
)
def test_sheet_name_of_any_text_is_valid_in_excel(text: str, name: str) -> None:
    body, outcome = write_rows([{"n": 1}], NUMBERS, sheet_name=text)
    assert outcome.sheets == (name,)
    assert openpyxl.load_workbook(io.BytesIO(body)).sheetnames == (
        [name, "About (2)"] if name == "about" else [name, "About"]
    )
