"""Errors about invalid YAML explain how to fix quotes and tabs."""

from __future__ import annotations

import pytest
from quire.errors import DefinitionError
from quire.report.catalog.yaml_document import read_document


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("title: a: b\n", "f:1", "quote a value that contains a colon"),
        ("\ttitle: a\n", "f:1", "indent with spaces, not tabs"),
        ("a:\n\tb: 1\n", "f:2", "indent with spaces, not tabs"),
        ("a:\n  b: 1\n\tc: 2\n", "f:3", "indent with spaces, not tabs"),
        ("title: *tables\n", "f:1", "quote a value that begins with *"),
        ("title: !table x\n", "f:1", "quote a value that begins with !"),
        ("title: *a\n", "f:1", "quote a value that begins with *"),
        ("title: %x\n", "f:1", "quote a value that begins with %"),
        ("title: @x\n", "f:1", "quote a value that begins with @"),
        ("title: !x y\n", "f:1", "quote a value that begins with !"),
        ("title: & x\n", "f:1", "quote a value that begins with &"),
        ("title: 'it's'\n", "f:1", "quote the entire value (inside single quotes, write an apostrophe twice)"),
        ('title: "a" b\n', "f:1", "quote the entire value"),
        ("title: 'abc\n", "f:2", "close the quote"),
        ('title: "C:\\dir"\n', "f:1", "use single quotes"),
        ("by: [a\n", "f:2", "close the bracket"),
    ],
)
def test_invalid_yaml_is_rejected_with_a_suggestion(text: str, place: str, advice: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_document(text, file="f")
    assert caught.value.message.startswith(f"{place}: not valid YAML: ")
    assert advice in caught.value.message
