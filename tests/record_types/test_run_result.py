"""A run's result has the JSON fields that other DAGs read from XComs and asset events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from quire.errors import IntegrityError
from quire.record_types.manifest import PublishedRun
from quire.record_types.run_result import RunResult, summarize_run
from quire.record_types.serialization import from_json, to_json
from quire.record_types.stage_records import RenderedFile

from tests.portal.published_runs import manifest_of_run

FILE = RenderedFile(
    name="events.xlsx", key="reports/events/a/events.xlsx", rows=6, bytes=900, sha256="b" * 64,
    start=date(2013, 1, 1), end=date(2013, 1, 31), earliest="2013-01-01T05:15:00-05:00",
)  # fmt: skip
VALUE = {
    "report": "events",
    "run": "a" * 32,
    "reused": True,
    "rows": 6,
    "files": [
        {
            "name": "events.xlsx",
            "key": "reports/events/a/events.xlsx",
            "rows": 6,
            "bytes": 900,
            "earliest": "2013-01-01T05:15:00-05:00",
            "latest": None,
        }
    ],
    "warnings": ["a partition changed"],
    "published_at": "2026-01-01T06:00:00+00:00",
}


def result() -> RunResult:
    manifest = manifest_of_run(rows=6, warnings=("a partition changed",), files={})
    published = PublishedRun(manifest=replace(manifest, files=(FILE,)), already_published=True)
    return summarize_run(published, published_at=datetime(2026, 1, 1, 6, 0, 0, 123, tzinfo=UTC))


def test_result_as_json_has_the_fields_that_other_dags_read() -> None:
    value = to_json(result())
    assert (value, list(value)) == (VALUE, list(VALUE))


def test_result_from_json_is_complete() -> None:
    assert from_json(RunResult, VALUE) == result()


@pytest.mark.parametrize(
    "change", [{"run": "../x"}, {"published_at": "2026-01-01T06:00:00"}, {"files": [{"name": "events.xlsx"}]}]
)
def test_malformed_result_is_rejected(change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        from_json(RunResult, {**VALUE, **change})
