"""The portal's manifest cache, which has a memory limit."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import date

from quire.object_store.s3_store import S3Store
from quire.portal.manifest_cache import _CACHE, MAX_CACHE_BYTES, cached_manifest, estimate_memory
from quire.run_records.manifest import Manifest, ManifestPartition, manifest_key
from quire.run_records.serialization import to_json

PARTITIONS = 2_000


def manifest(run: str, partitions: int = PARTITIONS) -> Manifest:
    return Manifest(
        report="events",
        run=run,
        run_id=f"run {run}",
        title="Events",
        made_at="2026-01-01T00:00:00+00:00",
        start=date(2013, 1, 1),
        end=date(2013, 1, 31),
        timezone="UTC",
        parameters={},
        rows=0,
        partitions=tuple(
            ManifestPartition(
                key=f"{number}",
                rows=number,
                bytes=10_000 + number,
                sha256=f"{run}{number:032d}",
                object_key=f"partitions/events/{run}/{number:032d}/{number:032d}.parquet",
                stored=True,
            )
            for number in range(partitions)
        ),
        summaries=(),
        files=(),
    )


def test_estimate_memory_of_a_manifest_is_close_to_its_real_memory() -> None:
    tracemalloc.start()
    try:
        made = manifest("a" * 32)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 < estimate_memory(made) / held < 1.5


def test_manifest_cache_memory_is_bounded() -> None:
    one = manifest("a" * 32)
    runs = 2 * MAX_CACHE_BYTES // estimate_memory(one)
    _CACHE.clear()
    for number in range(runs):
        _CACHE["bucket", "events", f"{number:032x}"] = replace(one, run=f"{number:032x}")
    assert MAX_CACHE_BYTES / 2 < len(_CACHE) * estimate_memory(one) <= MAX_CACHE_BYTES
    _CACHE.clear()


def test_cached_manifest_is_read_once(bucket: S3Store) -> None:
    run = "a" * 32
    bucket.put_json_once(manifest_key("events", run), to_json(manifest(run, 1)))
    assert cached_manifest(bucket, "events", run).run == run
    bucket.delete([manifest_key("events", run)])
    assert cached_manifest(bucket, "events", run).run == run
