"""Records: what is damaged is deleted; what another version wrote, or another run repaired, stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from quire.artifacts import manifest_key
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import ObjectStore
from quire.object_store.body import MAX_RECORD_BYTES
from quire.records import write_once
from quire.serialization import to_json
from quire.stored_manifests import find_manifest, load_manifest
from quire.stored_partitions import find_partition

from tests.test_artifacts import MANIFEST

KEY = manifest_key(MANIFEST.report, MANIFEST.run)


def of_another_version(store: ObjectStore) -> None:
    """Writes a manifest with a checksum, and without a field that this version needs."""
    value = to_json(MANIFEST)
    del value["rows"]
    write_once(store, KEY, value)


def without_checksum(store: ObjectStore) -> None:
    """Writes a manifest without a checksum, and with a field that this version does not know."""
    store.put(KEY, json.dumps({**to_json(MANIFEST), "new": 1}).encode())


@pytest.mark.parametrize("write", [of_another_version, without_checksum])
def test_manifest_of_another_version_is_refused_and_stays(
    bucket: ObjectStore, write: Callable[[ObjectStore], None]
) -> None:
    write(bucket)
    before = bucket.read(KEY)
    with pytest.raises(IntegrityError, match="another version of Quire") as raised:
        find_manifest(bucket, MANIFEST.report, MANIFEST.run)
    assert not isinstance(raised.value, DamagedObjectError)
    assert bucket.read(KEY) == before


def test_partition_of_another_version_is_refused_and_stays(bucket: ObjectStore) -> None:
    write_once(bucket, "partitions/place.json", {"key": "2013-01"})
    with pytest.raises(IntegrityError, match="another version of Quire"):
        find_partition(bucket, "partitions/place")
    assert bucket.size("partitions/place.json")


@pytest.mark.parametrize("spoil", [lambda body: body[:-9], lambda body: body.replace(b'"rows": ', b'"rows": 1', 1)])
def test_damaged_manifest_is_deleted(bucket: ObjectStore, spoil: Callable[[bytes], bytes]) -> None:
    write_once(bucket, KEY, MANIFEST)
    bucket.put(KEY, spoil(bucket.read(KEY) or b""))
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) is None
    assert bucket.size(KEY) is None


class RepairedStore(ObjectStore):
    """Answers with damaged bytes, while another run replaces the record."""

    def read(self, key: str, **limits: int) -> bytes | None:
        return b"damaged"


def test_record_that_another_run_repaired_stays(bucket: ObjectStore) -> None:
    write_once(bucket, KEY, MANIFEST)
    assert find_manifest(RepairedStore(bucket.settings), MANIFEST.report, MANIFEST.run) is None
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) == MANIFEST


def test_delete_unchanged_of_an_object_replaced_at_the_last_moment_keeps_it(bucket: ObjectStore) -> None:
    bucket.put("k", b"old")
    writer = ObjectStore(bucket.settings)

    def replace(**_: Any) -> None:
        writer.put("k", b"new")

    bucket.client.meta.events.register("before-parameter-build.s3.DeleteObject", replace)
    assert not bucket.delete_unchanged("k", b"old")
    assert writer.read("k") == b"new"


DEEP = b"[" * 200_000


@pytest.mark.parametrize("deep", [DEEP, b'{"a": ' * 200_000], ids=["lists", "objects"])
def test_record_nested_too_deeply_is_damaged(bucket: ObjectStore, deep: bytes) -> None:
    bucket.put(KEY, deep)
    with pytest.raises(DamagedObjectError, match="nested too deeply"):
        load_manifest(bucket, KEY)
    bucket.put("partitions/place.json", deep)
    assert find_partition(bucket, "partitions/place") is None
    assert bucket.size("partitions/place.json") is None
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) is None
    assert bucket.size(KEY) is None


def test_record_over_the_size_limit_is_refused_unread(bucket: ObjectStore) -> None:
    bucket.put(KEY, b" " * 4096 + b"{}")
    with pytest.raises(IntegrityError, match="4098 bytes, more than the 4097") as raised:
        bucket.read(KEY, max_bytes=4097)
    assert not isinstance(raised.value, DamagedObjectError)
    assert bucket.read(KEY, max_bytes=4098)
    with pytest.raises(DamagedObjectError, match="other bytes"):
        bucket.read_verified(KEY, sha256="", size=4097)


def test_reads_of_objects_over_the_limit_leave_no_connection_open(bucket: ObjectStore) -> None:
    bucket.put(KEY, b"x" * 1024 * 1024)
    for _ in range(40):  # more than the client's pool has
        with pytest.raises(IntegrityError):
            bucket.read(KEY, max_bytes=1)
    assert len(bucket.read(KEY) or b"") == 1024 * 1024


def test_record_over_the_size_limit_is_not_written(bucket: ObjectStore) -> None:
    with pytest.raises(IntegrityError, match="more than a record may"):
        bucket.put_json_once("large.json", "x" * MAX_RECORD_BYTES)
    assert bucket.size("large.json") is None
