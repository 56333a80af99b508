"""JSON round trips preserve every value and every digit."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quire.inbound_webhooks.exact_json import read_json, write_json

LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_json_round_trip_is_identical(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(write_json(read_json(text))) == value
    assert read_json(write_json(read_json(text))) == read_json(text)


@pytest.mark.parametrize("digits", ["0.10", "12345678901234567890.123456789", "1" * 400, "-0.5", "1E+30"])
def test_number_round_trip_keeps_digits(digits: str) -> None:
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
def test_read_json_invalid_or_excessive_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_json(text)


def test_json_round_trip_at_maximum_depth() -> None:
    text = '{"a":' * 50 + "[" * 50 + "]" * 50 + "}" * 50
    assert write_json(read_json(text)) == text


def test_read_json_zero_with_extreme_exponent_is_zero() -> None:
    assert read_json("0e-999") == Decimal(0)


def test_write_json_zero_with_extreme_exponent_stays_short() -> None:
    assert write_json(read_json("[0e-16000, 0e16000]")) == "[0,0]"
