"""A record is valid only under its original key; a copied or forged record is replaced or rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import DamagedObjectError
from quire.object_store.commit_records import read_record, write_once
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal.command_line_runs import CommandLineRuns
from quire.portal.manifest_cache import ManifestCache
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.stage_records import StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.manifest_store import find_manifest, read_manifest
from quire.runs.verify import verify_run

from tests.events import DEFINITION, SQL, events_report, fill_events, request_of, session_of, write_report
from tests.integration.test_damage import keys, summaries
from tests.record_types.test_records import MANIFEST

pytestmark = pytest.mark.server

PROBED: dict[str, Any] = {"source": {"freshness": {"probe": "id"}}}


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    return fresh_database


def run(definition: ReportDefinition, url: str, store: S3Store) -> Manifest:
    request = replace(request_of(definition), formats=("csv",))
    return run_report(definition, request, session=session_of(url), store=store).published.manifest


def rows(store: S3Store, manifest: Manifest) -> bytes:
    return b"".join(store.read(file.key) or b"" for file in manifest.files if file.name.endswith(".csv"))


def record_of(store: S3Store, report: str, month: str) -> str:
    (key,) = (key for key in keys(store, f"partitions/{report}/", 4, ".json") if month in key)
    return key


def test_old_record_of_a_partition_at_a_new_token_is_replaced(tmp_path: Path, database: str, bucket: S3Store) -> None:
    run(events_report(tmp_path, **PROBED), database, bucket)
    old = record_of(bucket, "events", "2013-02")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE events SET amount = 777.77, id = 1003 WHERE id = 3")
    run(events_report(tmp_path, **PROBED), database, bucket)
    (new,) = (key for key in keys(bucket, "partitions/events/", 4, ".json") if "2013-02" in key and key != old)
    bucket.put(new, bucket.read(old) or b"")
    again = run(events_report(tmp_path, **PROBED, title="Other"), database, bucket)
    assert b"777.77" in rows(bucket, again)
    staged = read_record(bucket, StagedPartition, new)
    assert staged is not None
    assert staged.object_key.startswith(new.removesuffix(".json"))


def test_record_with_rows_of_another_report_is_replaced(tmp_path: Path, database: str, bucket: S3Store) -> None:
    run(events_report(tmp_path, **PROBED), database, bucket)
    changes = {"source": {**DEFINITION["source"], "sql": "secret/extract.sql", "freshness": {"probe": "id"}}}
    secret = write_report(tmp_path, "secret", {**DEFINITION, **changes}, SQL.replace("kind,", "'SECRET' AS kind,"))
    run(secret, database, bucket)
    mine, theirs = (record_of(bucket, report, "2013-02") for report in ("events", "secret"))
    own, foreign = (read_record(bucket, StagedPartition, key) for key in (mine, theirs))
    assert own is not None
    assert foreign is not None
    bucket.delete([mine])
    assert write_once(bucket, mine, replace(foreign, key=own.key, freshness_token=own.freshness_token))
    again = run(events_report(tmp_path, **PROBED, title="Other"), database, bucket)
    assert b"SECRET" not in rows(bucket, again)


@pytest.mark.parametrize("change", [{"freshness_token": "t"}, {"key": "2013-03"}])
def test_record_of_another_token_or_partition_is_replaced(
    tmp_path: Path, database: str, bucket: S3Store, change: dict[str, str]
) -> None:
    run(events_report(tmp_path, **PROBED), database, bucket)
    key = record_of(bucket, "events", "2013-02")
    staged = read_record(bucket, StagedPartition, key)
    assert staged is not None
    bucket.delete([key])
    assert write_once(bucket, key, replace(staged, **change))  # type: ignore[arg-type]
    run(events_report(tmp_path, **PROBED, title="Other"), database, bucket)
    staged = read_record(bucket, StagedPartition, key)
    assert staged is not None
    assert [staged.key, staged.freshness_token] == key.removesuffix(".json").split("/")[-2:]


def test_partial_summaries_of_another_partition_are_replaced(tmp_path: Path, database: str, bucket: S3Store) -> None:
    first = run(events_report(tmp_path, **PROBED), database, bucket)
    january, february = (
        next(key for key in keys(bucket, "partitions/", 5, ".json") if month in key) for month in ("2013-01", "2013-02")
    )
    bucket.put(january, bucket.read(february) or b"")
    again = run(events_report(tmp_path, **PROBED, title="Other"), database, bucket)
    assert summaries(bucket, again) == summaries(bucket, first)
    assert bucket.read(january) != bucket.read(february)


def with_file(**changes: Any) -> Callable[[], Manifest]:
    return lambda: replace(MANIFEST, files=(replace(MANIFEST.files[0], **changes),))


RUN_FOLDER = f"reports/flights/{MANIFEST.run}"
FORGED: dict[str, Callable[[], Manifest]] = {
    "of another report": lambda: replace(MANIFEST, report="secret"),
    "of another run": lambda: replace(MANIFEST, run="b" * 32),
    "another report's file": with_file(key=f"reports/secret/{MANIFEST.run}/flights_2013-01.xlsx"),
    "another run's file": with_file(key=f"reports/flights/{'b' * 32}/flights_2013-01.xlsx"),
    "a file above its folder": with_file(key=f"{RUN_FOLDER}/../../secret/flights_2013-01.xlsx"),
    "a request at no time": lambda: replace(MANIFEST, made_at="yesterday"),
    "rows read at no time": lambda: replace(MANIFEST, snapshot_at="2013-13-01T00:00:00Z"),
    "rows read in no time zone": lambda: replace(MANIFEST, snapshot_at="2013-01-01T00:00:00"),
    "a name with a path": with_file(name="../../etc/cron.d/x", key=f"{RUN_FOLDER}/x/../../etc/cron.d/x"),
    "a name with slashes": with_file(name="x/y.xlsx", key=f"{RUN_FOLDER}/x/y.xlsx"),
    "a name with backslashes": with_file(name="..\\y.xlsx", key=f"{RUN_FOLDER}/..\\y.xlsx"),
    "a name with a line break": with_file(name="a\r\nb.xlsx", key=f"{RUN_FOLDER}/a\r\nb.xlsx"),
    "no name": with_file(name="", key=f"{RUN_FOLDER}/"),
    "the name ..": with_file(name="..", key=f"{RUN_FOLDER}/.."),
    "another report's rows": lambda: replace(
        MANIFEST, partitions=(replace(MANIFEST.partitions[0], object_key="partitions/flights2/x"),)
    ),
    "another report's summary": lambda: replace(
        MANIFEST, summaries=(replace(MANIFEST.summaries[0], object_key="summaries/secret/k"),)
    ),
}
READERS: dict[str, Callable[[S3Store, str], object]] = {
    "read": lambda store, run: read_manifest(store, MANIFEST.report, run),
    "portal": lambda store, run: ManifestCache().read(store, MANIFEST.report, run),
    "verify": lambda store, run: verify_run(manifest_key(MANIFEST.report, run), store=store),
    "verify by run": lambda store, run: verify_run(run, store=store),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("forged", FORGED)
def test_forged_manifest_is_rejected_by_every_reader(bucket: S3Store, forged: str, reader: str) -> None:
    write_once(bucket, manifest_key(MANIFEST.report, MANIFEST.run), FORGED[forged]())
    with pytest.raises(DamagedObjectError, match=r"^reports/flights/a{32}/manifest\.json "):
        READERS[reader](bucket, MANIFEST.run)


@pytest.mark.parametrize("forged", FORGED)
def test_forged_manifest_is_deleted_by_the_next_run(bucket: S3Store, forged: str) -> None:
    key = manifest_key(MANIFEST.report, MANIFEST.run)
    write_once(bucket, key, FORGED[forged]())
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) is None
    assert bucket.size(key) is None


def test_forged_manifest_is_not_listed_as_a_run(bucket: S3Store) -> None:
    value = replace(MANIFEST, run_id="cli__" + "c" * 32)
    write_once(bucket, manifest_key(MANIFEST.report, value.run), value)
    write_once(bucket, manifest_key(MANIFEST.report, "b" * 32), value)
    assert [run.run_key for run in CommandLineRuns().list(bucket, MANIFEST.report)] == [value.run]


def test_genuine_manifest_is_accepted_by_every_reader(bucket: S3Store) -> None:
    write_once(bucket, manifest_key(MANIFEST.report, MANIFEST.run), MANIFEST)
    assert read_manifest(bucket, MANIFEST.report, MANIFEST.run) == MANIFEST
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) == MANIFEST
