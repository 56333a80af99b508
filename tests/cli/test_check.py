"""``quire check`` warns about problems in valid definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.cli.check import validate_query

from tests.events import events_report, fill_events, session_of

pytestmark = pytest.mark.server

SQL = "SELECT at, kind, amount, {} AS weight FROM events WHERE at >= %(start)s AND at < %(end)s\n"


@pytest.mark.parametrize(
    ("cast", "changes", "word"),
    [
        ("weight", {"columns": [{"name": "weight", "total": "sum"}]}, "has a total"),
        (
            "weight",
            {"summaries": [{"name": "S", "by": ["kind"], "measures": {"w": {"agg": "sum", "of": "weight + 1"}}}]},
            "is aggregated",
        ),
        ("weight::numeric(12,0)", {"columns": [{"name": "weight", "total": "sum"}]}, None),
        ("weight::numeric(12,3)", {"columns": [{"name": "weight", "total": "sum"}]}, None),
        ("weight", {}, None),
    ],
)
def test_check_warns_about_sums_of_numeric_without_a_scale(
    tmp_path: Path, fresh_database: str, cast: str, changes: dict[str, Any], word: str | None
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=SQL.format(cast), **{"columns": [], **changes})
    advice = validate_query(definition, session=session_of(fresh_database))
    assert [line.split(":")[0] for line in advice] == (
        [f"weight {word} but is numeric without a scale"] if word else []
    )
