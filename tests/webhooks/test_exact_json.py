"""JSON that is read, stored and read again is what it was."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quire.webhooks.exact_json import read_json, write_json

LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_json_written_and_read_again_is_the_same(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(write_json(read_json(text))) == value
    assert read_json(write_json(read_json(text))) == read_json(text)


@pytest.mark.parametrize("digits", ["0.10", "12345678901234567890.123456789", "1" * 400, "-0.5", "1E+30"])
def test_number_keeps_its_digits(digits: str) -> None:
    assert write_json(read_json(f'{{"n": [{digits}]}}')) == f'{{"n":[{digits}]}}'


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "[-Infinity]",
        "1e999",
        "1e-999",
        "0e9999999999999999999",
        "[" * 100_000,
        "{'a': 1}",
        "",
        *("[" * deep + "]" * deep for deep in (102, 500, 900)),
    ],
)
def test_what_is_no_json_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_json(text)


def test_json_of_many_levels_is_written_again() -> None:
    text = '{"a":' * 50 + "[" * 50 + "]" * 50 + "}" * 50
    assert write_json(read_json(text)) == text


def test_zero_of_any_exponent_is_a_number() -> None:
    assert read_json("0e-999") == Decimal(0)


def test_zero_of_a_long_exponent_does_not_grow() -> None:
    assert write_json(read_json("[0e-16000, 0e16000]")) == "[0,0]"
