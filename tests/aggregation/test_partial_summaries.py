"""Partitions' partial summaries are computed once, and merging them yields the same result as PostgreSQL."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from quire.object_store.commit_records import read_record, write_once
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report, store_partitions
from quire.record_types.stage_records import PartialSummaries, StagedPartition, StagedSummary
from quire.report.definition import ReportDefinition
from quire.stages.aggregate import aggregate_summaries
from quire.stages.plan import plan_partitions

from tests.events import ZONE, events_report, fill_many_events, request_of, session_of

pytestmark = pytest.mark.server

MEASURES: dict[str, Any] = {
    "events": {"agg": "count"},
    "total": {"agg": "sum", "of": "amount"},
    "weights": {"agg": "sum", "of": "weight"},
    "numbers": {"agg": "sum", "of": "id"},
    "big": {"agg": "sum", "of": "large"},
    "lowest": {"agg": "min", "of": "amount"},
    "last": {"agg": "max", "of": "note"},
    "mean": {"agg": "mean", "of": "amount"},
    "least": {"agg": "min", "of": "odd"},
    "most": {"agg": "max", "of": "odd"},
    "odds": {"agg": "sum", "of": "odd"},
    "narrow": {"agg": "sum", "of": "narrow"},
}
SQL = """\
SELECT id, at, kind, amount, weight, note, 9223372036854775807 AS large,
       CASE WHEN id %% 900 = 0 THEN 'NaN' WHEN id %% 4 > 0 THEN id / 7.0 END::float8 AS odd,
       (id / 7.0)::float4 AS narrow
FROM public.events
WHERE at >= %(start)s AND at < %(end)s
ORDER BY at, id
"""


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_many_events(fresh_database, 2999, minutes=40)
    return fresh_database


def probed(include: Path, *measures: str, **changes: Any) -> ReportDefinition:
    """Returns a report with reusable partitions; its last row is from March 4, so April is empty."""
    summary = {
        "name": "By kind",
        "by": ["kind"],  # every group has rows in every partition
        "measures": {name: MEASURES[name] for name in measures or MEASURES},
        "sort": ["kind"],
    }
    source = {"freshness": {"probe": "id"}, **changes.pop("source", {})}
    return events_report(include, **{"sql": SQL, "columns": [], "summaries": [summary], "source": source, **changes})


def summary_of(definition: ReportDefinition, url: str, store: S3Store, end: str = "2013-04-30") -> StagedSummary:
    """Runs the report and returns its only summary."""
    request = request_of(definition, "2013-01-01", end)
    outcome = run_report(definition, request, session=session_of(url), store=store)
    (summary,) = outcome.published.manifest.summaries
    return summary


def rows_of(store: S3Store, key: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(store.read(key) or b""))


def parts(store: S3Store) -> list[str]:
    """Returns the keys of the partial summaries that the partitions' records list."""
    records = [entry.key for entry in store.list("partitions/") if entry.key.count("/") == 5]
    named = [key for record in records if record.endswith(".json") for key in named_by(store, record)]
    return sorted(named)


def named_by(store: S3Store, record: str) -> list[str]:
    value: dict[str, Any] = store.read_json(record) or {}
    return [summary["object_key"] for summary in value["summaries"]]


def test_merged_summary_equals_postgresql_before_and_after_changes(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    definition = probed(tmp_path)
    assert_equal(rows_of(bucket, summary_of(definition, database, bucket).object_key), database)
    before = parts(bucket)
    assert len(before) == 3
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE events SET amount = 77, kind = 'a', id = id + 100000 WHERE id = 2000")  # in February
        connection.execute("DELETE FROM events WHERE id BETWEEN 2500 AND 2600")  # in March
    assert_equal(rows_of(bucket, summary_of(definition, database, bucket).object_key), database)
    assert len(set(parts(bucket)) - set(before)) == 2


def assert_equal(frame: pl.DataFrame, url: str) -> None:
    """Asserts that a summary with all measures equals PostgreSQL's result."""
    bound = SQL % {"start": "'2013-01-01'", "end": "'2013-05-01'"}
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{ZONE}'")
        expected = connection.execute(
            f"SELECT kind, count(*), sum(amount), sum(weight), sum(id), "
            f'sum(large), min(amount), max(note COLLATE "C"), avg(amount)::float8, min(odd), max(odd), sum(odd), '
            "sum(narrow::float8) "
            f"FROM ({bound}) e GROUP BY 1 ORDER BY kind NULLS LAST"
        ).fetchall()
    assert len(expected) == 6
    for row, expected_row in zip(frame.rows(), expected, strict=True):
        assert row[:8] == expected_row[:8]
        for ours, theirs in zip(row[8:], expected_row[8:], strict=True):
            assert ours == (None if theirs is None else pytest.approx(theirs, rel=1e-12, nan_ok=True))


def test_merged_summary_equals_one_computed_from_the_rows(tmp_path: Path, database: str, bucket: S3Store) -> None:
    exact = [name for name in MEASURES if name not in ("mean", "odds", "narrow")]
    merged = rows_of(bucket, summary_of(probed(tmp_path, *exact), database, bucket).object_key)
    unmerged = probed(tmp_path, *exact, source={"freshness": "always"})
    assert merged.equals(rows_of(bucket, summary_of(unmerged, database, bucket).object_key))


def test_later_run_reads_the_stored_parts(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed(tmp_path, "events")
    summary_of(definition, database, bucket)
    before = parts(bucket)
    doctor(bucket, january := before[0], pl.DataFrame({"kind": ["a"], "measure 0": [7]}))
    frame = rows_of(bucket, summary_of(definition, database, bucket, "2013-01-31").object_key)
    assert frame.rows() == [("a", 7)]
    assert parts(bucket) == before
    bucket.put(january, b"damaged")
    delete_published(bucket)
    frame = rows_of(bucket, summary_of(definition, database, bucket, "2013-01-31").object_key)
    assert frame["kind"].to_list() != ["a"]
    assert january not in parts(bucket)


def doctor(store: S3Store, key: str, frame: pl.DataFrame) -> None:
    """Replaces a partial summary, and updates its record to match."""
    body = io.BytesIO()
    frame.write_parquet(body)
    store.put(key, body.getvalue())
    (record,) = (entry.key for entry in store.list(key.rpartition("/")[0] + "/") if entry.key.endswith(".json"))
    partials = read_record(store, PartialSummaries, record) or pytest.fail(f"{record} is missing")
    sha256 = hashlib.sha256(body.getvalue()).hexdigest()
    store.delete([record])
    assert write_once(store, record, replace(partials, summaries=(replace(partials.summaries[0], sha256=sha256),)))


def test_rows_are_read_only_if_a_run_needs_them(tmp_path: Path, database: str, bucket: S3Store) -> None:
    alone = probed(tmp_path, "events", workbook={"detail": False})
    first = rows_of(bucket, summary_of(alone, database, bucket, "2013-03-31").object_key)
    records = [entry.key for entry in bucket.list("partitions/") if entry.key.count("/") == 4]
    january = (read_record(bucket, StagedPartition, min(records)) or pytest.fail("nothing is stored")).object_key
    bucket.delete([january])
    delete_published(bucket)
    assert rows_of(bucket, summary_of(alone, database, bucket, "2013-03-31").object_key).equals(first)
    with_rows = probed(tmp_path, "events", workbook={"detail": True})
    assert rows_of(bucket, summary_of(with_rows, database, bucket, "2013-03-31").object_key).equals(first)
    assert bucket.size(january) is None
    assert (read_record(bucket, StagedPartition, min(records)) or pytest.fail("it was not replaced")).rows


def delete_published(store: S3Store) -> None:
    store.delete([entry.key for entry in store.list("reports/")])


def test_changed_measure_is_computed_from_the_stored_rows(tmp_path: Path, database: str, bucket: S3Store) -> None:
    summary_of(probed(tmp_path, "events"), database, bucket)
    rows_before = [entry.key for entry in bucket.list("partitions/") if entry.key.count("/") == 4]
    changed = probed(tmp_path, "events", "total")
    frame = rows_of(bucket, summary_of(changed, database, bucket).object_key)
    assert frame.columns == ["kind", "events", "total"]
    assert [entry.key for entry in bucket.list("partitions/") if entry.key.count("/") == 4] == rows_before
    assert len(parts(bucket)) == 6


def test_measure_that_cannot_be_merged_uses_the_rows(tmp_path: Path, database: str, bucket: S3Store) -> None:
    measures = {"n": {"agg": "n_unique", "of": "note"}, "middle": {"agg": "median", "of": "id"}}
    definition = probed(tmp_path, summaries=[{"name": "S", "by": ["kind"], "measures": measures}])
    frame = rows_of(bucket, summary_of(definition, database, bucket).object_key)
    with psycopg.connect(database) as connection:
        expected = connection.execute(
            "SELECT kind, count(DISTINCT note), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) "
            "FROM events GROUP BY kind ORDER BY kind NULLS LAST"
        ).fetchall()
    assert frame.rows() == expected
    assert parts(bucket) == []


def test_second_writer_of_parts_deletes_its_own(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed(tmp_path, "events")
    session = session_of(database)
    request = request_of(definition, "2013-01-01", "2013-01-31")
    store_partitions(definition, request, session=session, store=bucket)
    before = parts(bucket)
    planned = plan_partitions(definition, request, session=session, store=bucket)
    blind = BlindStore(bucket.settings)
    (summary,) = aggregate_summaries(definition, planned.plan, planned.cached, store=blind)
    assert rows_of(bucket, summary.object_key)["events"].sum() == planned.cached[0].rows
    assert parts(bucket) == before
    assert len(list(bucket.list("partitions/"))) == 4  # the rows, their partial summary, and a record of each


class BlindStore(S3Store):
    """Hides the partial summary's record from the first read, as if another writer stored it just afterward."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._looked: set[str] = set()

    def read(self, key: str, **limits: int) -> bytes | None:
        if key.endswith(".json") and key.count("/") == 5 and key not in self._looked:
            self._looked.add(key)
            return None
        return super().read(key, **limits)


def test_forced_run_stores_no_parts(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed(tmp_path, "events")
    request = replace(request_of(definition, "2013-01-01", "2013-01-31"), force=True)
    run_report(definition, request, session=session_of(database), store=bucket)
    assert parts(bucket) == []
