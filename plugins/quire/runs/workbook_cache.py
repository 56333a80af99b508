"""Shares rendered files between runs. A file is rendered again only if its rows or its appearance have changed.

The files of one workbook and format are committed like a partition: first the files are written, and then a write-once
record that references them. A workbook that contains summaries is not shared, because it describes one run only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from quire.errors import DamagedObjectError
from quire.object_store import Store
from quire.object_store.commit_records import commit_once, find_record, map_concurrently
from quire.record_types.serialization import digest
from quire.record_types.stage_records import CachedWorkbook, RenderedFile, RunPlan, StagedPartition, WorkbookShard
from quire.report.definition import ReportDefinition
from quire.report.definition.workbook_options import FileFormat
from quire.runs.manifest_store import is_plausible_file
from quire.runs.run_key import EXCLUDED_FIELDS, RENDERER
from quire.runs.workbook_shards import combines_rows_and_summaries

WORKBOOKS = "workbooks"  # the root folder of shared files


class WorkbookKeys:
    """Computes the keys of a run's shared workbooks; workbooks with the same key have the same content.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: all partitions of the run.
        renderer: the version of the code that renders the files.
    """

    def __init__(
        self,
        definition: ReportDefinition,
        plan: RunPlan,
        partitions: Sequence[StagedPartition],
        *,
        renderer: int = RENDERER,
    ) -> None:
        self._definition = definition
        self._partitions = {partition.key: partition for partition in partitions}
        self._run_digest = digest(
            renderer,
            definition.model_dump(mode="json", exclude={**EXCLUDED_FIELDS, "summaries": True}),
            (definition.source.sql, [table.name for table in definition.source.tables]),  # shown on the About sheet
            plan.columns,
            plan.request.parameters,
        )

    def key(self, shard: WorkbookShard, file_format: FileFormat) -> str | None:
        """Returns a digest of a workbook's rows and appearance, or None if other runs cannot use the workbook."""
        rows = [(self._partitions[part.partition], part) for part in shard.slices]
        if file_format == "xlsx" and combines_rows_and_summaries(self._definition):
            return None
        if not all(partition.reusable for partition, _ in rows):
            return None
        return digest(
            self._run_digest,
            file_format,
            self._definition.workbook.csv.model_dump(mode="json") if file_format == "csv" else None,
            (shard.stem, shard.start, shard.end),
            [(partition.key, partition.sha256, part.offset, part.rows) for partition, part in rows],
        )


def workbook_folder(report: str, key: str) -> str:
    """Returns the folder of a shared workbook's files. The key of the commit record is the folder plus ``.json``."""
    return f"{WORKBOOKS}/{report}/{key}"


def divide_shards(
    definition: ReportDefinition,
    plan: RunPlan,
    partitions: Sequence[StagedPartition],
    *,
    shards: Sequence[WorkbookShard],
    store: Store,
) -> tuple[tuple[WorkbookShard, ...], tuple[RenderedFile, ...]]:
    """Returns the shards to render, with their keys in the formats in which they are not cached, and the cached files.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: the partitions that the shards contain.
        shards: the shards.
        store: the store that holds the cached files.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be read.
    """
    keys = WorkbookKeys(definition, plan, partitions)

    def find(key: str | None) -> tuple[RenderedFile, ...] | None:
        return None if key is None else _find_files(store, definition.name, key)

    workbooks = [
        (shard, file_format, keys.key(shard, file_format))
        for shard in shards
        for file_format in definition.file_formats(plan.request.formats)
    ]
    cached, missing = list[RenderedFile](), defaultdict[str, dict[FileFormat, str | None]](dict)
    lookups = map_concurrently(find, [key for _, _, key in workbooks])
    for (shard, file_format, key), files in zip(workbooks, lookups, strict=True):
        if files:
            cached += files
        else:
            missing[shard.stem][file_format] = key
    uncached = (replace(shard, keys=missing[shard.stem]) for shard in shards if shard.stem in missing)
    return tuple(uncached), tuple(cached)


def commit_files(store: Store, report: str, key: str, *, files: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
    """Commits the files of a shared workbook, and returns them.

    If another run was first, deletes these files and returns the other run's files.

    Raises:
        IntegrityError: on every attempt, another run's record existed and was then deleted.
    """
    winner = commit_once(
        store,
        f"{workbook_folder(report, key)}.json",
        CachedWorkbook(key=key, files=files),
        objects=[file.key for file in files],
        find=lambda: _find(store, report, key),
    )
    return files if winner is None else winner.files


def ensure_own_files(cached: CachedWorkbook, folder: str) -> None:
    """Checks that a commit record is in the folder of its key and references only files in this folder.

    Raises:
        DamagedObjectError: the record or one of its files belongs in another folder.
    """
    is_own = bool(cached.files) and all(is_plausible_file(file, folder) for file in cached.files)
    if not is_own or folder.rpartition("/")[2] != cached.key:
        raise DamagedObjectError(f"{folder}.json describes files in another folder: it was copied or modified")


def is_shared(file: RenderedFile) -> bool:
    """Returns whether other runs may use a file."""
    return file.key.startswith(f"{WORKBOOKS}/")


def _find_files(store: Store, report: str, key: str) -> tuple[RenderedFile, ...] | None:
    """Returns the files of a shared workbook, or None on a cache miss."""
    cached = _find(store, report, key)
    return None if cached is None else tuple(replace(file, cache_hit=True) for file in cached.files)


def _find(store: Store, report: str, key: str) -> CachedWorkbook | None:
    """Returns a commit record; deletes it if it is damaged, of another workbook, or references missing files."""
    folder = workbook_folder(report, key)

    def ensure(cached: CachedWorkbook) -> None:
        ensure_own_files(cached, folder)
        for file in cached.files:
            if not store.has_size(file.key, file.bytes):
                raise DamagedObjectError(f"{file.key} is missing, or its size has changed")

    return find_record(store, CachedWorkbook, f"{folder}.json", ensure=ensure)
