"""Tests paths that select values in a body."""

from __future__ import annotations

import pytest
from quire.inbound_webhooks.json_path import ABSENT, find_value, parse_path

BODY = {"data": {"items": [{"sku": "A"}, {"sku": None}], "a.b": {"x y": 3}, "0": "zero"}, "top": [[1, 2]]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.items[0].sku", "A"),
        ("data.items[1].sku", None),
        ("data.items[2].sku", ABSENT),
        ("data.items.sku", ABSENT),
        ('data["a.b"]["x y"]', 3),
        ("top[0][1]", 2),
        ("data.0", "zero"),
        ("data[0]", ABSENT),
        ("data.items[0].sku[0]", ABSENT),
        ("data.items[1].sku.deeper", ABSENT),
        ("nothing", ABSENT),
        ("top", [[1, 2]]),
    ],
)
def test_find_value_returns_value_or_absent(path: str, value: object) -> None:
    assert find_value(BODY, path) == value


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "[0]", "[0].a", "a[", "a[x]", "a[-1]", 'a["b]', "a b", "a]b", "$.a b"]
)
def test_parse_path_invalid_raises(path: str) -> None:
    with pytest.raises(ValueError, match="start at the top of the body"):
        parse_path(path)
