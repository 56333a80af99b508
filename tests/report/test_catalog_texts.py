"""Errors state the position of any character in a definition that the database or workbooks do not support."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.errors import DefinitionError
from quire.report.catalog import load_catalog
from quire.report.catalog.yaml_document import read_document

REPORT = "source: {sql: x.sql, time_column: at}\npartition: day\n"
SQL = "SELECT now() AS at WHERE now() >= %(start)s AND now() < %(end)s AND %(p)s <> ''"
PARAMETER = 'parameters: {p: {type: string, default: "", '
NOTIFIER = "delivery: {notify: {failure: [{notifier: a.b, "


def errors_of(folder: Path, yaml: str, *, sql: str = SQL) -> dict[str, str]:
    """Returns the errors in a catalog with one report; its definition is ``yaml`` and its query is ``sql``."""
    for name, text in (("good", f"{PARAMETER}}}}}\n"), ("evil", yaml)):
        path = folder / "include" / "reports" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{REPORT}{text}", encoding="utf-8")
    query = folder / "include" / "sql" / "x.sql"
    query.parent.mkdir(exist_ok=True)
    query.write_text(sql)
    return {name: str(error) for name, error in load_catalog(folder / "include").errors.items()}


@pytest.mark.parametrize(
    ("yaml", "place"),
    [
        ('description: "a\\0b"\n', "3: description"),
        ('parameters:\n  p: {type: string, default: ""}\n\ndescription: "a\\0b"\n', "6: description"),
        (PARAMETER + 'description: "a\\0b"}}\n', "3: parameters.p.description"),
        ('parameters:\n  p:\n    type: string\n    default: "a\\0b"\n', "6: parameters.p.default"),
        ('parameters:\n  p:\n    type: string\n    default: a\n    enum: [a, "a\\0b"]\n', "7: parameters.p.enum[1]"),
        (NOTIFIER + 'text: "a\\0b"}]}}\n', "3: delivery.notify.failure[0].text"),
        (NOTIFIER + 'blocks: [{a: ["a\\0b"]}]}]}}\n', "3: delivery.notify.failure[0].blocks[0].a[0]"),
    ],
)
def test_nul_in_any_text_is_rejected_at_its_field(tmp_path: Path, yaml: str, place: str) -> None:
    assert errors_of(tmp_path, yaml) == {
        "evil": f"include/reports/evil.yaml:{place}: contains the control character \\x00: remove it"
    }


def test_nul_in_a_key_is_rejected_without_repeating_it(tmp_path: Path) -> None:
    assert errors_of(tmp_path, NOTIFIER + '"a\\0b": "\\0"}]}}\n') == {
        "evil": "include/reports/evil.yaml:3: delivery.notify.failure[0]: the key 'a\\x00b' contains the control "
        "character \\x00: remove it; include/reports/evil.yaml:3: delivery.notify.failure[0].a\\x00b: contains the "
        "control character \\x00: remove it"
    }


@pytest.mark.parametrize("place", ["/* a\0b */", "'\0'", "\0", "1 -- \0"])
def test_nul_in_a_query_is_rejected_at_its_line(tmp_path: Path, place: str) -> None:
    errors = errors_of(tmp_path, f"{PARAMETER}}}}}\n", sql=f"{SQL}\nAND 1 =\n{place}\n")
    assert errors["evil"] == "include/sql/x.sql:3: contains the control character \\x00: remove it"


@pytest.mark.parametrize("escape", ["\\x01", "\\e", "\\r", "\\x7f", "\\x85", "\\x9f"])
def test_control_character_is_rejected(escape: str) -> None:
    with pytest.raises(DefinitionError, match=r"^f:1: description: contains the control character \\"):
        read_document(f'description: "a{escape}b"', file="f")


def test_line_breaks_and_tabs_of_a_text_are_kept(tmp_path: Path) -> None:
    yaml = PARAMETER + 'description: "a\\tb\\nc"}}\ndescription: |\n  a\n  b é 東 \U0001f600\n'
    assert errors_of(tmp_path, yaml) == {}


@pytest.mark.parametrize("value", ["!!binary YQBi", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"])
def test_value_of_a_type_unknown_to_json_is_rejected(tmp_path: Path, value: str) -> None:
    reason = f"the tag {value.split()[0]} is not supported: write a string, a number, a list or a mapping"
    assert errors_of(tmp_path, f"description: {value}\n") == {
        "evil": f"include/reports/evil.yaml:3: description: {reason}"
    }
