"""Manifests in the store. All readers get them here, so that a forged or copied one counts nowhere."""

from __future__ import annotations

import sys
from dataclasses import fields
from datetime import date
from typing import Any

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.object_store.commit_records import MANIFEST_LIMITS, find_record, read_record
from quire.records.manifest import Manifest, manifest_key
from quire.records.stage_records import RenderedFile

MAX_NUMBER = 2**53  # rows, bytes, seconds: no run of Quire comes near
MAX_PARAMETER_LENGTH = 100_000  # characters
SUMMARY_ROOTS = ("summaries", "partitions", "reports")


def load_manifest(store: Store, key: str) -> Manifest | None:
    """Returns the manifest at a key, or None where there is none.

    Raises:
        DamagedObjectError: it is damaged, or not the manifest of the report and run that its key names.
        IntegrityError: another version of Quire has published the run, in a form that this one does not understand.
    """
    manifest = read_record(store, Manifest, key, limits=MANIFEST_LIMITS)
    if manifest is not None:
        ensure_own_manifest(manifest, key)
    return manifest


def find_manifest(store: Store, report: str, run_key: str) -> Manifest | None:
    """Returns a published run's manifest, if there is one; deletes a damaged or foreign one, so that it is made again.

    Raises:
        IntegrityError: another version of Quire has published the run, in a form that this one does not understand.
    """
    key = manifest_key(report, run_key)
    return find_record(
        store, Manifest, key, ensure=lambda manifest: ensure_own_manifest(manifest, key), limits=MANIFEST_LIMITS
    )


def read_manifest(store: Store, report: str, run_key: str) -> Manifest:
    """Returns a published run's manifest.

    Raises:
        DamagedObjectError: it is damaged, or that of another report or run.
        IntegrityError: there is none, or another version of Quire has written it.
    """
    key = manifest_key(report, run_key)
    manifest = load_manifest(store, key)
    if manifest is None:
        raise IntegrityError(f"{key} is not in the store: the run was deleted, or never published")
    return manifest


def ensure_own_manifest(manifest: Manifest, key: str) -> None:
    """Checks that a manifest is that of the report and run of its key, and names objects of theirs only.

    Raises:
        DamagedObjectError: it is not, or it names others.
    """
    report, run = manifest.report, manifest.run
    if manifest_key(report, run) != key or "/" in report or "/" in run:
        raise DamagedObjectError(f"{key} is the manifest of another report or run: it was copied or changed")
    for file in manifest.files:
        if not _is_below(file.key, f"reports/{report}/{run}") or not _is_file_name(file):
            raise DamagedObjectError(f"{key} names a file that is not of its run: it was changed")
    for part in manifest.partitions:
        if not _is_below(part.object_key, f"partitions/{report}"):
            raise DamagedObjectError(f"{key} names rows that are not of its report: it was changed")
    for summary in manifest.summaries:
        if not any(_is_below(summary.object_key, f"{root}/{report}") for root in SUMMARY_ROOTS):
            raise DamagedObjectError(f"{key} names a summary that is not of its report: it was changed")
    if not _has_possible_values(manifest):
        raise DamagedObjectError(f"{key} has values that no run has: it was changed")


def _has_possible_values(manifest: Manifest) -> bool:
    """Whether every date, number and parameter is one that a run can have, and that a page can show."""
    dated: tuple[Manifest | RenderedFile, ...] = (manifest, *manifest.files)
    counted = (manifest, *manifest.files, *manifest.partitions, *manifest.summaries, *manifest.usage)
    return (
        all(record.start <= record.end < date.max for record in dated)  # the day after the end is a date, too
        and all(abs(number) <= MAX_NUMBER for record in counted for number in _numbers(record))
        and all(map(_is_parameter, manifest.parameters.values()))
    )


def _numbers(record: Any) -> list[float]:
    values = (getattr(record, field.name) for field in fields(record))
    return [value for value in values if isinstance(value, int | float)]


def _is_parameter(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_PARAMETER_LENGTH
    return value is None or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)


def _is_below(key: str, folder: str) -> bool:
    """Whether an object lies below a folder, also for a client that resolves ``..`` in addresses."""
    return key.startswith(f"{folder}/") and not {"", ".", ".."} & set(key.split("/"))


def _is_file_name(file: RenderedFile) -> bool:
    """Whether a name is one segment of a path on every system, and the last one of the key."""
    name = file.name
    return name.isprintable() and not {"/", "\\", ":"} & set(name) and file.key.endswith(f"/{name}")
