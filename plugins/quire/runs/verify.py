"""Is a published run still what its manifest says? Every object is read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from quire.errors import IntegrityError, ParameterError
from quire.object_store import Store
from quire.records.manifest import Manifest, ManifestPartition
from quire.records.stage_records import StagedSummary
from quire.runs.file_names import is_summary
from quire.runs.manifest_store import load_manifest

READ_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was read again, and each thing that is not as it was."""

    manifest: Manifest
    objects: int
    bytes: int
    faults: tuple[str, ...]


def verify_run(run: str, *, store: Store) -> Verification:
    """Reads a run's objects again and compares sizes, checksums and row counts with its manifest.

    Args:
        run: a run key, or the key of its manifest.
        store: where it was published.

    Raises:
        ParameterError: there is no such run.
        IntegrityError: its manifest cannot be read.
    """
    manifest = _find_manifest(run, store)
    faults: list[str] = []
    expected = {file.key: (file.bytes, file.sha256) for file in manifest.files}
    stored: list[ManifestPartition | StagedSummary] = [*manifest.partitions, *manifest.summaries]
    expected |= {part.object_key: (part.bytes, part.sha256) for part in stored}
    for key, (size, sha256) in expected.items():
        faults += _object_faults(store, key, size, sha256)
    changed = {fault.partition(" ")[0] for fault in faults}
    for part in stored:
        if part.object_key not in changed:
            faults += _row_faults(store, part.object_key, part.bytes, part.rows)
    detail = [file for file in manifest.files if not is_summary(file)]
    counted = sum(part.rows for part in manifest.partitions)
    if counted != manifest.rows:
        faults.append(f"the partitions have {counted} rows, the manifest says {manifest.rows}")
    for suffix in sorted({file.name.rpartition(".")[2] for file in detail}):
        rows = sum(file.rows for file in detail if file.name.endswith(f".{suffix}"))
        if rows != manifest.rows:
            faults.append(f"the {suffix} files have {rows} rows, the manifest says {manifest.rows}")
    return Verification(
        manifest=manifest,
        objects=len(expected),
        bytes=sum(size for size, _ in expected.values()),
        faults=tuple(faults),
    )


def _find_manifest(run: str, store: Store) -> Manifest:
    keys = (
        [run]
        if run.endswith("/manifest.json")
        else [f"{folder}{run}/manifest.json" for folder in store.folders("reports/")]
    )
    for key in keys:
        if manifest := load_manifest(store, key):
            return manifest
    raise ParameterError(f"no run {run!r} is published in {store.location}")


def _object_faults(store: Store, key: str, size: int, sha256: str) -> Iterator[str]:
    if not store.has_size(key, size):
        actual = store.size(key)
        yield f"{key} is missing" if actual is None else f"{key} has {actual} bytes, the manifest says {size}"
    elif (digest := _sha256(store, key, size)) != sha256:
        yield f"{key} has the SHA-256 {digest}, the manifest says {sha256}"


def _sha256(store: Store, key: str, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, READ_BYTES):
        digest.update(store.read_range(key, start, min(READ_BYTES, size - start)))
    return digest.hexdigest()


def _row_faults(store: Store, key: str, size: int, rows: int) -> Iterator[str]:
    try:
        found = pq.ParquetFile(store.open_object(key, size)).metadata.num_rows
    except (pa.ArrowInvalid, IntegrityError) as error:
        yield f"{key} cannot be read: {error}"
    else:
        if found != rows:
            yield f"{key} has {found} rows, the manifest says {rows}"
