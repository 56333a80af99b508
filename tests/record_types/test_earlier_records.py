"""The field names in commit records from earlier versions are still accepted."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Any

import pytest
from quire.object_store.commit_records import read_record, write_once
from quire.object_store.s3_store import S3Store
from quire.partition_cache.cache import find_cached_partition
from quire.record_types.serialization import field_names, to_json
from quire.record_types.stage_records import PartitionStatistics, StagedPartition

PLACE = "partitions/events/d/2013-01/t"
BODY = b"PAR1 rows PAR1"
# These records were written before some fields were renamed.
EARLIER: dict[str, Any] = {
    "key": "2013-01",
    "start": "2013-01-01",
    "stop": "2013-02-01",
    "object_key": f"{PLACE}/rows.parquet",
    "rows": 2,
    "bytes": len(BODY),
    "sha256": hashlib.sha256(BODY).hexdigest(),
    "token": "t",
    "checksums": "01234567",
    "read_at": "2026-01-01T00:00:00Z",
    "lasts": False,
    "stored": True,
    "statistics": {"earliest": "2013-01-01", "latest": "2013-01-31", "nulls": {"note": 1}},
}
CURRENT = StagedPartition(
    key="2013-01",
    start=date(2013, 1, 1),
    stop=date(2013, 2, 1),
    object_key=f"{PLACE}/rows.parquet",
    rows=2,
    bytes=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    freshness_token="t",
    checksums="01234567",
    snapshot_at="2026-01-01T00:00:00Z",
    reusable=False,
    cache_hit=True,
    statistics=PartitionStatistics(earliest="2013-01-01", latest="2013-01-31", nulls={"note": 1}),
)


def with_checksum(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "checksum": hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}


@pytest.mark.parametrize("earlier", [with_checksum(EARLIER), EARLIER], ids=["with checksum", "without checksum"])
def test_partition_record_of_an_earlier_version_is_read(bucket: S3Store, earlier: dict[str, Any]) -> None:
    bucket.put(f"{PLACE}.json", json.dumps(earlier).encode())
    assert read_record(bucket, StagedPartition, f"{PLACE}.json") == CURRENT


def test_partition_of_an_earlier_version_is_a_cache_hit(bucket: S3Store) -> None:
    bucket.put(CURRENT.object_key, BODY)
    bucket.put(f"{PLACE}.json", json.dumps(with_checksum(EARLIER)).encode())
    assert find_cached_partition(bucket, PLACE) == CURRENT


def test_partition_record_has_the_current_field_names(bucket: S3Store) -> None:
    assert write_once(bucket, f"{PLACE}.json", CURRENT)
    written: Any = bucket.read_json(f"{PLACE}.json")
    assert set(written) - {"checksum"} == set(to_json(CURRENT))
    assert not {"token", "read_at", "lasts", "stored"} & set(written)


def test_field_names_include_those_of_earlier_versions() -> None:
    assert field_names(StagedPartition) == set(EARLIER) | set(to_json(CURRENT))
