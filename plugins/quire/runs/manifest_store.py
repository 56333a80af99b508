"""Reads manifests from the store, and rejects forged or copied manifests."""

from __future__ import annotations

import sys
from dataclasses import fields
from datetime import date, datetime
from typing import Any

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.object_store.commit_records import MANIFEST_LIMITS, RecordLimits, find_record, read_record
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.stage_records import RenderedFile
from quire.runs.published_files import is_any_missing

MAX_RECORD_NUMBER = 2**53  # far more rows, bytes or seconds than a real run has
MAX_PARAMETER_LENGTH = 100_000  # characters
SUMMARY_ROOTS = ("summaries", "partitions", "reports")


def load_manifest(store: Store, key: str, *, limits: RecordLimits = MANIFEST_LIMITS) -> Manifest | None:
    """Returns the manifest at a key, or None if it does not exist.

    Raises:
        DamagedObjectError: the manifest is damaged, or belongs to a different report or run than its key indicates.
        IntegrityError: the manifest's format is from a different Quire version.
    """
    manifest = read_record(store, Manifest, key, limits=limits)
    if manifest is not None:
        ensure_own_manifest(manifest, key)
    return manifest


def find_manifest(store: Store, report: str, run_key: str, *, with_files: bool = False) -> Manifest | None:
    """Returns a run's manifest, or None if no valid manifest exists.

    Deletes a manifest that is damaged or belongs to another run, so that this run can be repeated.

    Args:
        store: the object store.
        report: the report's name.
        run_key: the run's key.
        with_files: whether to also delete the manifest if one of its files is missing or has a different size.

    Raises:
        IntegrityError: the manifest's format is from a different Quire version.
        StoreRefusedError, StoreUnavailableError: the store cannot be queried.
    """
    key = manifest_key(report, run_key)

    def ensure(manifest: Manifest) -> None:
        ensure_own_manifest(manifest, key)
        if with_files and is_any_missing(manifest.files, store):
            raise DamagedObjectError(f"{key} references a file that was deleted or changed")

    return find_record(store, Manifest, key, ensure=ensure, limits=MANIFEST_LIMITS)


def read_manifest(store: Store, report: str, run_key: str, *, limits: RecordLimits = MANIFEST_LIMITS) -> Manifest:
    """Returns a published run's manifest.

    Raises:
        DamagedObjectError: the manifest is damaged, or belongs to a different report or run.
        IntegrityError: the manifest does not exist, or its format is from a different Quire version.
    """
    key = manifest_key(report, run_key)
    manifest = load_manifest(store, key, limits=limits)
    if manifest is None:
        raise IntegrityError(f"{key} does not exist: the run was deleted or never published")
    return manifest


def ensure_own_manifest(manifest: Manifest, key: str) -> None:
    """Checks that a manifest belongs to the report and run in its key, and references only that report's objects.

    Raises:
        DamagedObjectError: the manifest belongs to a different report or run, references objects that belong to one, or
            contains impossible values.
    """
    report, run = manifest.report, manifest.run
    if manifest_key(report, run) != key or "/" in report or "/" in run:
        raise DamagedObjectError(f"{key} is the manifest for a different report or run: it was copied or modified")
    folders = (f"reports/{report}/{run}", f"workbooks/{report}")
    for file in manifest.files:
        if not any(_is_file_below(file, folder) for folder in folders):
            raise DamagedObjectError(f"{key} references another run's file: the object was modified")
    for part in manifest.partitions:
        if not _is_below(part.object_key, f"partitions/{report}"):
            raise DamagedObjectError(f"{key} references another report's rows: the object was modified")
    for summary in manifest.summaries:
        if not any(_is_below(summary.object_key, f"{root}/{report}") for root in SUMMARY_ROOTS):
            raise DamagedObjectError(f"{key} references another report's summary: the object was modified")
    if not _has_possible_values(manifest):
        raise DamagedObjectError(f"{key} contains impossible values: the object was modified")


def _has_possible_values(manifest: Manifest) -> bool:
    """Returns whether all dates, numbers and parameters are plausible, and pages can safely display them."""
    dated: tuple[Manifest | RenderedFile, ...] = (manifest, *manifest.files)
    counted = (*dated, *manifest.partitions, *manifest.summaries, *manifest.usage)
    return (
        _has_possible_times(manifest)
        and all(map(_has_possible_range, dated))
        and all(map(_has_possible_numbers, counted))
        and all(map(_is_parameter, manifest.parameters.values()))
    )


def _has_possible_times(manifest: Manifest) -> bool:
    try:
        times = (datetime.fromisoformat(manifest.made_at), manifest.unchanged_since)
    except ValueError:
        return False
    return all(time.tzinfo for time in times)


def is_plausible_file(file: RenderedFile, folder: str) -> bool:
    """Returns whether a file is inside a folder, and its name, dates and numbers are plausible."""
    return _is_file_below(file, folder) and _has_possible_range(file) and _has_possible_numbers(file)


def _is_file_below(file: RenderedFile, folder: str) -> bool:
    return _is_below(file.key, folder) and _is_file_name(file)


def _has_possible_range(record: Manifest | RenderedFile) -> bool:
    return record.start <= record.end < date.max  # the day after the end must also be a valid date


def _has_possible_numbers(record: Any) -> bool:
    return all(abs(number) <= MAX_RECORD_NUMBER for number in _numbers(record))


def _numbers(record: Any) -> list[float]:
    values = (getattr(record, field.name) for field in fields(record))
    return [value for value in values if isinstance(value, int | float)]


def _is_parameter(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_PARAMETER_LENGTH
    return value is None or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)


def _is_below(key: str, folder: str) -> bool:
    """Returns whether a key is inside a folder, and remains inside if a client resolves ``..`` in URLs."""
    return key.startswith(f"{folder}/") and not {"", ".", ".."} & set(key.split("/"))


def _is_file_name(file: RenderedFile) -> bool:
    """Returns whether a file's name is the last segment of its key and is a single path segment on every system."""
    name = file.name
    return name.isprintable() and not {"/", "\\", ":"} & set(name) and file.key.endswith(f"/{name}")
