"""The portal's manifest cache stays within its memory limit."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from dataclasses import replace
from datetime import date

from quire.errors import IntegrityError
from quire.object_store.memory_store import MemoryStore
from quire.portal.manifest_cache import ManifestCache, estimate_memory
from quire.record_types.manifest import Manifest, ManifestPartition, manifest_key
from quire.record_types.serialization import to_json

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


def test_manifest_cache_memory_is_bounded(store: MemoryStore) -> None:
    max_bytes = 2 * 1024 * 1024
    one, manifests = manifest("a" * 32, 200), ManifestCache(max_bytes=max_bytes)
    runs = [f"{number:032x}" for number in range(2 * max_bytes // estimate_memory(one))]
    for run in runs:
        store.put_json_once(manifest_key("events", run), to_json(replace(one, run=run)))
        manifests.read(store, "events", run)
    store.delete([manifest_key("events", run) for run in runs])
    cached = [run for run in runs if is_cached(manifests, store, run)]
    assert max_bytes / 2 < len(cached) * estimate_memory(one) <= max_bytes


def is_cached(manifests: ManifestCache, store: MemoryStore, run: str) -> bool:
    """Returns whether the cache holds a manifest that the store no longer contains."""
    with suppress(IntegrityError):
        return manifests.read(store, "events", run).run == run
    return False


def test_manifest_cache_reads_a_manifest_once(store: MemoryStore) -> None:
    run, manifests = "a" * 32, ManifestCache()
    store.put_json_once(manifest_key("events", run), to_json(manifest(run, 1)))
    assert manifests.read(store, "events", run).run == run
    store.delete([manifest_key("events", run)])
    assert manifests.read(store, "events", run).run == run
