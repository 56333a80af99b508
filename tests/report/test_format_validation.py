"""Quire rejects number formats that Excel rejects, and suggests valid formats."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError
from quire.number_formats.validation import problem_of
from quire.report.definition import Column, Measure


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("#.##0,00 €", "did you mean #,##0.00 €?"),
        ("#.###.##0,00", "did you mean #,###,##0.00?"),
        ("%Y-%m-%d", "This is a strftime format. In Excel, write yyyy-mm-dd"),
        ("%d.%m.%Y %H:%M", "In Excel, write dd.mm.yyyy hh:mm"),
        ('0 "kg', 'a quote is not closed: write 0 "kg"'),
        ("[Rouge]0", "did you mean [Red]?"),
        ("[Redd]0", "[Redd] is not a color, condition or currency"),
        ("[abc", "a bracket is not closed"),
        ("0 kg", 'did you mean 0 "kg"?'),
        ("0 h", "it mixes number and date placeholders"),
        ("0\\", "nothing follows the last \\"),
        ("0;0;0;@;0", "it has 5 sections"),
        ("0.0.0", "a format code uses , for thousands and . for decimals"),
    ],
)
def test_format_that_excel_rejects_is_rejected_with_a_suggestion(code: str, message: str) -> None:
    assert message in problem_of(code)
    for model, fields in ((Column, {"name": "a"}), (Measure, {"agg": "count"})):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(model).validate_python({**fields, "format": code})
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "General", "@", "0", "0.0%", "#,##0.00", '#,##0.00 "€"', "#,##0.00 €", "[$€-407] #,##0.00", "0.00E+00",
        "[Red]0;[color 12]-0;0;@", "[<100]0;[>=1.5]0.0;General", "_-* #,##0.00_-", "#,##0,,\" M\"", "# ?/?", "+0;-0;0",
        "yyyy-mm-dd hh:mm:ss", "dd.mm.yyyy", "mmm yyyy", "h:mm AM/PM", "[h]:mm:ss.00", "[mm]:ss", '"%Y" 0', "°0",
        '\\a0', 'yyyy"年"m"月"', '0.0"%"', "0 %",
    ],
)  # fmt: skip
def test_format_that_excel_accepts_is_accepted(code: str) -> None:
    assert problem_of(code) == ""
