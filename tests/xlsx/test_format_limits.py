"""Number formats stay within what Excel takes of them."""

from __future__ import annotations

import pyarrow as pa
from quire.xlsx.styles import MAX_FORMAT_LENGTH, number_format, with_word


def test_numeric_of_more_decimals_than_excel_shows_is_shown_with_as_many_as_it_does() -> None:
    assert number_format(pa.decimal128(38, 36)) == f"#,##0.{'0' * 30}"


def test_format_that_has_no_room_for_a_word_stays_as_it_is() -> None:
    fits = f'0"{"x" * (MAX_FORMAT_LENGTH - 10)}"'
    assert with_word(fits, "mean") == f'"mean "{fits}'
    assert len(with_word(fits, "mean")) == MAX_FORMAT_LENGTH
    assert with_word(f"{fits}0", "mean") == f"{fits}0"
