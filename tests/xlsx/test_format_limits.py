"""Number formats stay within Excel's limits."""

from __future__ import annotations

import pyarrow as pa
from quire.xlsx.styles import MAX_FORMAT_LENGTH, number_format, with_word


def test_number_format_more_than_30_decimals_has_30() -> None:
    assert number_format(pa.decimal128(38, 36)) == f"#,##0.{'0' * 30}"


def test_with_word_beyond_maximum_length_returns_code_unchanged() -> None:
    code = f'0"{"x" * (MAX_FORMAT_LENGTH - 10)}"'
    assert with_word(code, "mean") == f'"mean "{code}'
    assert len(with_word(code, "mean")) == MAX_FORMAT_LENGTH
    assert with_word(f"{code}0", "mean") == f"{code}0"
