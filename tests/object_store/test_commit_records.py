"""Damaged commit records are deleted, but repaired records and records from other versions remain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store.commit_records import PARTITION_LIMITS, write_once
from quire.object_store.s3_store import S3Store
from quire.object_store.store import MAX_RECORD_BYTES
from quire.partition_cache.cache import find_cached_partition
from quire.record_types.manifest import manifest_key
from quire.record_types.serialization import to_json
from quire.runs.manifest_store import find_manifest, load_manifest
from quire.settings import CLONE

from tests.record_types.test_records import MANIFEST

KEY = manifest_key(MANIFEST.report, MANIFEST.run)


def of_another_version(store: S3Store) -> None:
    """Writes a manifest with a checksum but without a field that this version requires."""
    value = to_json(MANIFEST)
    del value["rows"]
    write_once(store, KEY, value)


def without_checksum(store: S3Store) -> None:
    """Writes a manifest without a checksum but with an unknown field."""
    store.put(KEY, json.dumps({**to_json(MANIFEST), "new": 1}).encode())


@pytest.mark.parametrize("write", [of_another_version, without_checksum])
def test_manifest_of_another_version_is_rejected_and_kept(bucket: S3Store, write: Callable[[S3Store], None]) -> None:
    write(bucket)
    before = bucket.read(KEY)
    with pytest.raises(IntegrityError, match="another version of Quire") as raised:
        find_manifest(bucket, MANIFEST.report, MANIFEST.run)
    assert not isinstance(raised.value, DamagedObjectError)
    assert bucket.read(KEY) == before


def test_partition_of_another_version_is_rejected_and_kept(bucket: S3Store) -> None:
    write_once(bucket, "partitions/place.json", {"key": "2013-01"})
    with pytest.raises(IntegrityError, match="another version of Quire"):
        find_cached_partition(bucket, "partitions/place")
    assert bucket.size("partitions/place.json")


@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: body.replace(b'"rows": ', b'"rows": 1', 1)])
def test_damaged_manifest_is_deleted(bucket: S3Store, damage: Callable[[bytes], bytes]) -> None:
    write_once(bucket, KEY, MANIFEST)
    bucket.put(KEY, damage(bucket.read(KEY) or b""))
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) is None
    assert bucket.size(KEY) is None


class RepairedStore(S3Store):
    """Returns a record's damaged bytes while another run replaces the record."""

    def read(self, key: str, **limits: int) -> bytes | None:
        return b"damaged"


def test_record_repaired_by_another_run_is_kept(bucket: S3Store) -> None:
    write_once(bucket, KEY, MANIFEST)
    assert find_manifest(RepairedStore(bucket.settings), MANIFEST.report, MANIFEST.run) is None
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) == MANIFEST


def test_delete_unchanged_keeps_an_object_replaced_meanwhile(bucket: S3Store) -> None:
    bucket.put("k", b"old")
    writer = S3Store(bucket.settings)

    def replace(**_: Any) -> None:
        writer.put("k", b"new")

    bucket.client.meta.events.register("before-parameter-build.s3.DeleteObject", replace)
    assert not bucket.delete_unchanged("k", b"old")
    assert writer.read("k") == b"new"


DEEP = b"[" * 200_000


@pytest.mark.parametrize("deep", [DEEP, b'{"a": ' * 200_000], ids=["lists", "objects"])
def test_record_nested_too_deeply_is_damaged(bucket: S3Store, deep: bytes) -> None:
    bucket.put(KEY, deep)
    with pytest.raises(DamagedObjectError, match="nested too deeply"):
        load_manifest(bucket, KEY)
    bucket.put("partitions/place.json", deep)
    assert find_cached_partition(bucket, "partitions/place") is None
    assert bucket.size("partitions/place.json") is None
    assert find_manifest(bucket, MANIFEST.report, MANIFEST.run) is None
    assert bucket.size(KEY) is None


def test_record_over_the_size_limit_is_rejected_unread(bucket: S3Store) -> None:
    bucket.put(KEY, b" " * 4096 + b"{}")
    with pytest.raises(IntegrityError, match="4098 bytes, more than the limit of 4097") as raised:
        bucket.read(KEY, max_bytes=4097)
    assert not isinstance(raised.value, DamagedObjectError)
    assert bucket.read(KEY, max_bytes=4098)
    with pytest.raises(DamagedObjectError, match="does not match its checksum"):
        bucket.read_verified(KEY, sha256="", size=4097)


def test_reads_of_objects_over_the_limit_leave_no_connection_open(bucket: S3Store) -> None:
    bucket.put(KEY, b"x" * 1024 * 1024)
    for _ in range(40):  # more requests than there are connections in the client's pool
        with pytest.raises(IntegrityError):
            bucket.read(KEY, max_bytes=1)
    assert len(bucket.read(KEY) or b"") == 1024 * 1024


def test_record_over_the_size_limit_is_not_written(bucket: S3Store) -> None:
    with pytest.raises(IntegrityError, match="more than the limit of"):
        bucket.put_json_once("large.json", "x" * MAX_RECORD_BYTES)
    assert bucket.size("large.json") is None


class CountingStore(S3Store):
    """Counts how often records are read."""

    reads = 0

    def read(self, key: str, **limits: int) -> bytes | None:
        self.reads += 1
        return super().read(key, **limits)


@pytest.mark.parametrize(
    ("write", "reads"),
    [(of_another_version, 1), (without_checksum, 3), (lambda store: store.put(KEY, b"{"), 3)],
    ids=["other version", "no checksum", "damaged"],
)
def test_record_is_read_again_only_if_it_may_be_damaged(
    bucket: S3Store, write: Callable[[S3Store], None], reads: int
) -> None:
    write(bucket)
    store = CountingStore(bucket.settings)
    with pytest.raises(IntegrityError):
        load_manifest(store, KEY)
    assert store.reads == reads


UNITS = ("[],", "{},", '{"a":{}},')
# A child process for each manifest, because a process reports only its highest memory
MEMORY_OF_MANIFESTS = """
import os, resource, sys
from quire.errors import DamagedObjectError
from quire.object_store.commit_records import MANIFEST_LIMITS
from quire.runs.manifest_store import load_manifest
from tests.object_store.test_commit_records import KEY, UNITS, ExistingBody

def measure(unit):
    count = MANIFEST_LIMITS.max_bytes // len(unit) - 10
    store = ExistingBody(b'{"x": [' + unit.encode() * count + b"0]}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load_manifest(store, KEY)
    except DamagedObjectError as error:
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        print(unit, megabytes, error, sep="\t", flush=True)

for unit in UNITS:
    if os.fork() == 0:
        measure(unit)
        os._exit(0)
    os.wait()
"""


class ExistingBody(S3Store):
    """A store that contains one object.

    Args:
        body: the object's bytes.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body

    def read(self, key: str, **limits: int) -> bytes | None:
        return self.body


@pytest.fixture(scope="module")
def measured_manifests() -> dict[str, tuple[int, str]]:
    """Returns, by unit, the megabytes and error from loading a manifest that repeats the unit up to the size limit."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_MANIFESTS],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {unit: (int(megabytes), error) for unit, megabytes, error in lines}


@pytest.mark.parametrize("unit", UNITS)
def test_record_of_millions_of_items_is_damaged_and_needs_little_memory(
    measured_manifests: dict[str, tuple[int, str]], unit: str
) -> None:
    megabytes, error = measured_manifests[unit]
    assert "too many lists, objects and items" in error
    assert megabytes < 300


def test_manifest_of_20000_partitions_and_files_is_read(bucket: S3Store) -> None:
    (part, *_), (file, *_) = MANIFEST.partitions, MANIFEST.files
    large = replace(MANIFEST, partitions=(part,) * 20_000, files=(file,) * 20_000)
    write_once(bucket, KEY, large)
    assert load_manifest(bucket, KEY) == large


def test_partition_record_has_a_smaller_limit(bucket: S3Store) -> None:
    large = b" " * PARTITION_LIMITS.max_bytes + b"{}"
    bucket.put("partitions/place.json", large)
    with pytest.raises(IntegrityError, match="more than the"):
        find_cached_partition(bucket, "partitions/place")
    bucket.put(KEY, large)
    with pytest.raises(IntegrityError, match="another version"):
        load_manifest(bucket, KEY)
    bucket.put("partitions/place.json", b"[" + b"0," * PARTITION_LIMITS.max_structures + b"0]")
    assert find_cached_partition(bucket, "partitions/place") is None
    assert bucket.size("partitions/place.json") is None
