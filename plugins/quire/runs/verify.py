"""Verifies a published run: reads every object and compares it with the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from quire.errors import IntegrityError, ParameterError
from quire.object_store import Store
from quire.record_types.manifest import Manifest, ManifestPartition
from quire.record_types.stage_records import StagedSummary
from quire.runs.file_names import is_summary
from quire.runs.manifest_store import load_manifest

READ_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A verification's result: how many objects and bytes were read, and every difference from the manifest."""

    manifest: Manifest
    objects: int
    bytes: int
    problems: tuple[str, ...]


def verify_run(run: str, *, store: Store) -> Verification:
    """Reads all of a run's objects, and compares their sizes, checksums and row counts with the run's manifest.

    Args:
        run: the run's key, or the object key of its manifest.
        store: the object store.

    Raises:
        ParameterError: the run is not published.
        IntegrityError: the manifest cannot be read.
    """
    manifest = _read_any_manifest(run, store)
    problems: list[str] = []
    expected = {file.key: (file.bytes, file.sha256) for file in manifest.files}
    stored: list[ManifestPartition | StagedSummary] = [*manifest.partitions, *manifest.summaries]
    expected |= {part.object_key: (part.bytes, part.sha256) for part in stored}
    for key, (size, sha256) in expected.items():
        problems += _object_problems(store, key, size, sha256=sha256)
    changed = {problem.partition(" ")[0] for problem in problems}
    for part in stored:
        if part.object_key not in changed:
            problems += _row_problems(store, part.object_key, part.bytes, rows=part.rows)
    detail = [file for file in manifest.files if not is_summary(file)]
    counted = sum(part.rows for part in manifest.partitions)
    if counted != manifest.rows:
        problems.append(f"the partitions have {counted} rows; the manifest states {manifest.rows}")
    for suffix in sorted({file.name.rpartition(".")[2] for file in detail}):
        rows = sum(file.rows for file in detail if file.name.endswith(f".{suffix}"))
        if rows != manifest.rows:
            problems.append(f"the {suffix} files have {rows} rows; the manifest states {manifest.rows}")
    return Verification(
        manifest=manifest,
        objects=len(expected),
        bytes=sum(size for size, _ in expected.values()),
        problems=tuple(problems),
    )


def _read_any_manifest(run: str, store: Store) -> Manifest:
    keys = (
        [run]
        if run.endswith("/manifest.json")
        else [f"{folder}{run}/manifest.json" for folder in store.folders("reports/")]
    )
    for key in keys:
        if manifest := load_manifest(store, key):
            return manifest
    raise ParameterError(f"run {run!r} is not published in {store.location}")


def _object_problems(store: Store, key: str, size: int, *, sha256: str) -> Iterator[str]:
    if not store.has_size(key, size):
        actual = store.size(key)
        yield f"{key} is missing" if actual is None else f"{key} has {actual} bytes; the manifest states {size}"
    elif (digest := _sha256(store, key, size)) != sha256:
        yield f"{key} has the SHA-256 {digest}; the manifest states {sha256}"


def _sha256(store: Store, key: str, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, READ_BYTES):
        digest.update(store.read_range(key, start, min(READ_BYTES, size - start)))
    return digest.hexdigest()


def _row_problems(store: Store, key: str, size: int, *, rows: int) -> Iterator[str]:
    try:
        actual_rows = pq.ParquetFile(store.open_object(key, size)).metadata.num_rows
    except (pa.ArrowInvalid, IntegrityError) as error:
        yield f"{key} cannot be read: {error}"
    else:
        if actual_rows != rows:
            yield f"{key} has {actual_rows} rows; the manifest states {rows}"
