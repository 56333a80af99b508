"""The portal's manifest cache stays within its memory limit."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import date

import pytest
from quire.object_store.memory_store import MemoryStore
from quire.portal import manifest_cache
from quire.portal.manifest_cache import MAX_CACHE_BYTES, ManifestCache, estimate_memory
from quire.record_types.manifest import Manifest, ManifestPartition, manifest_key
from quire.record_types.serialization import to_json

from tests.fast_mode import sized

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


def test_manifest_cache_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    max_bytes = sized(MAX_CACHE_BYTES, fast=MAX_CACHE_BYTES // 8)
    monkeypatch.setattr(manifest_cache, "MAX_CACHE_BYTES", max_bytes)
    one = manifest("a" * 32)
    runs = 2 * max_bytes // estimate_memory(one)
    cached = ManifestCache()._manifests
    for number in range(runs):
        cached["bucket", "events", f"{number:032x}"] = replace(one, run=f"{number:032x}")
    assert max_bytes / 2 < len(cached) * estimate_memory(one) <= max_bytes


def test_manifest_cache_reads_a_manifest_once(store: MemoryStore) -> None:
    run, manifests = "a" * 32, ManifestCache()
    store.put_json_once(manifest_key("events", run), to_json(manifest(run, 1)))
    assert manifests.read(store, "events", run).run == run
    store.delete([manifest_key("events", run)])
    assert manifests.read(store, "events", run).run == run
