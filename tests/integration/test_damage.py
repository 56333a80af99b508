"""Damage between extract and publish is detected and repaired; it never reaches a workbook, summary or CSV file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store.range_reader import READ_ATTEMPTS
from quire.object_store.s3_store import S3Store
from quire.partition_cache.row_reader import read_rows
from quire.pipeline import run_report, store_partitions
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import RowSlice, StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.verify import verify_run
from quire.settings import StoreSettings

from tests.events import events_report, fill_many_events, request_of, session_of

pytestmark = pytest.mark.server


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_many_events(fresh_database, 2999, minutes=40)
    return fresh_database


def probed(include: Path, **changes: Any) -> ReportDefinition:
    return events_report(include, **{"source": {"freshness": {"probe": "id"}}, **changes})


def run(definition: ReportDefinition, url: str, store: S3Store, **options: Any) -> Manifest:
    request = replace(request_of(definition), formats=("xlsx", "csv"))
    return run_report(definition, request, session=session_of(url), store=store, **options).published.manifest


def flip_bit(store: S3Store, key: str, position: float = 0.5) -> None:
    body = bytearray(store.read(key) or pytest.fail(f"{key} is missing"))
    body[min(int(len(body) * position), len(body) - 1)] ^= 1
    store.put(key, bytes(body))


def flip_digit(store: S3Store, key: str) -> None:
    """Changes a digit in a record; the record remains valid JSON of the same size."""
    body = (store.read(key) or b"").decode()
    place = body.index('"rows": ') + len('"rows": ')
    digit = "3" if body[place] != "3" else "2"
    store.put(key, f"{body[:place]}{digit}{body[place + 1 :]}".encode())


def delete(store: S3Store, key: str) -> None:
    store.delete([key])


def keys(store: S3Store, prefix: str, depth: int, suffix: str) -> list[str]:
    return [entry.key for entry in store.list(prefix) if entry.key.count("/") == depth and entry.key.endswith(suffix)]


def rows_key(store: S3Store) -> str:
    record: Any = store.read_json(record_key(store))
    return str(record["object_key"])


def record_key(store: S3Store) -> str:
    return keys(store, "partitions/", 4, ".json")[0]


def part_record_key(store: S3Store) -> str:
    return keys(store, "partitions/", 5, ".json")[0]


def part_key(store: S3Store) -> str:
    record: Any = store.read_json(part_record_key(store))
    return str(record["summaries"][0]["object_key"])


def summary_key(store: S3Store) -> str:
    return keys(store, "summaries/", 3, ".parquet")[-1]


def manifest_key(store: S3Store) -> str:
    return keys(store, "reports/", 3, "/manifest.json")[0]


def contents(store: S3Store, manifest: Manifest) -> dict[str, bytes | None]:
    """Returns a run's CSV files; unlike workbooks, they have the same bytes in every run with the same rows."""
    return {file.name: store.read(file.key) for file in manifest.files if file.name.endswith(".csv")}


def summaries(store: S3Store, manifest: Manifest) -> list[Any]:
    bodies = [store.read(summary.object_key) or b"" for summary in manifest.summaries]
    return [pq.read_table(io.BytesIO(body)).to_pylist() for body in bodies]


def assert_same_run(store: S3Store, first: Manifest, again: Manifest) -> None:
    assert contents(store, again) == contents(store, first)
    assert summaries(store, again) == summaries(store, first)
    assert [part.rows for part in again.partitions] == [part.rows for part in first.partitions]
    assert verify_run(again.run, store=store).problems == ()


@pytest.mark.parametrize(
    ("find", "damage"),
    [
        pytest.param(rows_key, flip_bit, id="rows"),
        pytest.param(rows_key, lambda store, key: flip_bit(store, key, 0.002), id="page header"),
        pytest.param(rows_key, lambda store, key: flip_bit(store, key, 0.98), id="footer"),
        pytest.param(rows_key, delete, id="lost rows"),
        pytest.param(record_key, flip_bit, id="commit record"),
        pytest.param(record_key, flip_digit, id="digit of a commit record"),
        pytest.param(part_key, flip_bit, id="partial summary"),
        pytest.param(part_key, delete, id="lost partial summary"),
        pytest.param(part_record_key, flip_bit, id="record of partial summaries"),
        pytest.param(part_record_key, flip_digit, id="digit of that record"),
    ],
)
def test_run_over_a_damaged_cached_object_replaces_it(
    tmp_path: Path,
    database: str,
    bucket: S3Store,
    find: Callable[[S3Store], str],
    damage: Callable[[S3Store, str], None],
) -> None:
    first = run(probed(tmp_path), database, bucket)
    damage(bucket, find(bucket))
    titled = probed(tmp_path, title="Of the same rows")  # a different title results in a different run
    again = run(titled, database, bucket)
    assert again.run != first.run
    assert_same_run(bucket, first, again)


@pytest.mark.parametrize(
    ("stage", "find", "damage", "freshness"),
    [
        ("aggregate", rows_key, flip_bit, "always"),
        ("render", rows_key, flip_bit, {"probe": "id"}),
        ("render", rows_key, delete, "always"),
        ("publish", summary_key, flip_bit, "always"),
        ("publish", summary_key, delete, {"probe": "id"}),
    ],
)
def test_run_whose_object_is_damaged_before_a_stage_succeeds(
    tmp_path: Path,
    database: str,
    bucket: S3Store,
    stage: str,
    find: Callable[[S3Store], str],
    damage: Callable[[S3Store, str], None],
    freshness: Any,
) -> None:
    definition = events_report(tmp_path, source={"freshness": freshness})
    damaged: list[str] = []

    def damage_once(name: str, done: int, total: int) -> None:
        if name == stage and not damaged:
            damaged.append(find(bucket))
            damage(bucket, damaged[0])

    manifest = run(definition, database, bucket, progress=damage_once)
    assert damaged
    assert verify_run(manifest.run, store=bucket).problems == ()
    assert_same_run(bucket, run(probed(tmp_path, title="Other"), database, bucket), manifest)


def test_run_whose_manifest_is_damaged_is_published_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed(tmp_path)
    first = run(definition, database, bucket)
    flip_digit(bucket, manifest_key(bucket))
    again = run(definition, database, bucket)
    assert again.run == first.run
    assert_same_run(bucket, first, again)


def test_backfill_over_lost_rows_stores_them_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed(tmp_path)
    request = request_of(definition)
    store_partitions(definition, request, session=session_of(database), store=bucket)
    delete(bucket, rows_key(bucket))
    staged = store_partitions(definition, request, session=session_of(database), store=bucket)
    assert [part.cache_hit for part in staged] == [False, True, True]
    assert bucket.size(staged[0].object_key) == staged[0].bytes


def test_read_rows_with_a_flipped_bit_raises_and_causes_a_cache_miss(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    definition = probed(tmp_path, workbook={"detail": False})
    request = request_of(definition, "2013-01-01", "2013-01-31")
    (part,) = store_partitions(definition, request, session=session_of(database), store=bucket)
    clean = bucket.read(part.object_key) or b""
    for position in (*range(0, len(clean), max(1, len(clean) // 60)), len(clean) - 1):
        bucket.put(part.object_key, clean[:position] + bytes([clean[position] ^ 4]) + clean[position + 1 :])
        with pytest.raises(DamagedObjectError):
            list(read_rows(bucket, [full_slice(part)], ["id", "at", "kind", "amount", "weight", "note"]))
    assert bucket.size(record_of(part)) is None


def test_read_rows_with_too_few_rows_raises_and_causes_a_cache_miss(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    definition = probed(tmp_path, workbook={"detail": False})
    request = request_of(definition, "2013-01-01", "2013-01-31")
    (part,) = store_partitions(definition, request, session=session_of(database), store=bucket)
    with pytest.raises(DamagedObjectError, match=r"of the expected \d+ rows"):
        list(read_rows(bucket, [replace(full_slice(part), rows=part.rows + 1)], ["id"]))
    assert bucket.size(record_of(part)) is None


def full_slice(part: StagedPartition) -> RowSlice:
    return RowSlice(
        partition=part.key,
        object_key=part.object_key,
        bytes=part.bytes,
        checksums=part.checksums,
        offset=0,
        rows=part.rows,
    )


def record_of(part: StagedPartition) -> str:
    return f"{part.object_key.rpartition('/')[0]}.json"


def test_stored_rows_carry_page_checksums(tmp_path: Path, database: str, bucket: S3Store) -> None:
    """PyArrow detects a damaged page even without the block checksums."""
    definition = probed(tmp_path)
    request = request_of(definition, "2013-01-01", "2013-01-31")
    (part,) = store_partitions(definition, request, session=session_of(database), store=bucket)
    body = bytearray(bucket.read(part.object_key) or b"")
    column = pq.ParquetFile(io.BytesIO(bytes(body))).metadata.row_group(0).column(0)
    body[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    with pytest.raises(OSError, match="CRC checksum"):
        pq.ParquetFile(io.BytesIO(bytes(body)), page_checksum_verification=True).read()


class FlippingStore(S3Store):
    """Damages the first responses to each request for certain objects, like a bad connection."""

    def __init__(self, settings: StoreSettings, suffix: str, *, times: int) -> None:
        super().__init__(settings)
        self._suffix, self._times = suffix, times
        self._damage_counts: dict[object, int] = {}

    def _damaged(self, request: object, body: bytes) -> bytes:
        count = self._damage_counts.get(request, 0)
        if count >= self._times or not body:
            return body
        self._damage_counts[request] = count + 1
        return body[:-1] + bytes([body[-1] ^ 1])

    def read(self, key: str, **limits: int) -> bytes | None:
        body = super().read(key, **limits)
        return self._damaged(key, body) if body and key.endswith(self._suffix) else body

    def read_range(self, key: str, start: int, size: int) -> bytes:
        body = super().read_range(key, start, size)
        return self._damaged((key, start, size), body) if key.endswith(self._suffix) else body


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_damage_in_transit_is_read_again_and_nothing_is_replaced(
    tmp_path: Path, database: str, bucket: S3Store, suffix: str
) -> None:
    first = run(probed(tmp_path), database, bucket)
    partitions = {entry.key for entry in bucket.list("partitions/")}
    far = FlippingStore(bucket.settings, suffix, times=READ_ATTEMPTS - 1)
    again = run(probed(tmp_path, title="Of the same rows"), database, far)
    assert {entry.key for entry in bucket.list("partitions/")} == partitions
    assert_same_run(bucket, first, again)


def test_store_that_damages_every_response_fails_the_run(tmp_path: Path, database: str, bucket: S3Store) -> None:
    store = FlippingStore(bucket.settings, ".parquet", times=1_000)
    with pytest.raises(IntegrityError, match=r"its checksum; all 3 attempts failed\. Check the object store\."):
        run(probed(tmp_path), database, store)
    assert not keys(bucket, "reports/", 3, "/manifest.json")


@pytest.mark.parametrize("number", [0, -1], ids=["shared", "summary"])
def test_run_with_a_missing_file_is_published_again(
    tmp_path: Path, database: str, bucket: S3Store, number: int
) -> None:
    definition = probed(tmp_path)
    first = run(definition, database, bucket)
    delete(bucket, first.files[number].key)
    again = run_report(
        definition, replace(request_of(definition), formats=("xlsx", "csv")), session=session_of(database), store=bucket
    ).published
    assert (again.manifest.run, again.already_published) == (first.run, False)
    assert verify_run(first.run, store=bucket).problems == ()
