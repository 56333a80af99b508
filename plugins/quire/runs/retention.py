"""Deletes expired runs and all objects that no run needs. Garbage collection can be interrupted at any time.

A commit record (a manifest or a partition's JSON object) is deleted before the objects that it references, so readers
never find an incomplete run. If a collection is interrupted after it has deleted a record, the next collection deletes
the objects. Reports with an active run are skipped: a collection checks for leases before deleting records, and again
before deleting other objects.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from quire.errors import IntegrityError
from quire.object_store import Store, StoredObject
from quire.object_store.commit_records import Record, find_record, folder_of
from quire.object_store.probe import PROBES
from quire.partition_cache.cache import ensure_own_folder
from quire.record_types.manifest import manifest_key
from quire.record_types.stage_records import CachedWorkbook, PartialSummaries, StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.leases import LEASES, ActiveRun, active_runs
from quire.runs.manifest_store import load_manifest
from quire.runs.workbook_cache import WORKBOOKS

logger = logging.getLogger(__name__)

GRACE = timedelta(days=1)  # a younger object may belong to a run that has not yet written the object's record
ROOTS = ("partitions/", "reports/", "summaries/", f"{WORKBOOKS}/")
LEGACY_LEASES = "running/"  # earlier versions wrote leases here


@dataclass(slots=True)
class CollectionResult:
    """How many objects of each kind were deleted, and an active run for each skipped report."""

    runs: int = 0
    partitions: int = 0
    workbooks: int = 0
    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    active: dict[str, ActiveRun] = field(default_factory=dict)


def collect_garbage(definitions: Mapping[str, ReportDefinition], *, store: Store, now: datetime) -> CollectionResult:
    """Deletes published runs older than ``keep``, superseded partitions, killed runs' orphans, and abandoned uploads.

    Keeps every partition's newest rows, all objects that a manifest references, and objects less than a day old. If a
    manifest is unreadable, keeps the run's files, and all rows and summaries older than the manifest. Deletes
    partitions' damaged commit records, because no run can use them.

    Args:
        definitions: definitions by report name; if a report has no definition, its published runs are kept.
        store: the object store.
        now: the current time by the store's clock; must be timezone-aware.

    Raises:
        IntegrityError: a record cannot be read; all other objects were still processed.
        StoreRefusedError, StoreUnavailableError: the store rejects the request or cannot be reached.
    """
    result, unreadable = CollectionResult(), list[IntegrityError]()
    reports = {folder.split("/")[1] for root in (*ROOTS, LEASES, LEGACY_LEASES) for folder in store.folders(root)}
    for report in sorted(reports):
        if active := active_runs(report, store=store, now=now):
            result.active[report] = active[0]
            continue
        definition = definitions.get(report)
        keep = definition.delivery.keep if definition else None
        collector = _ReportCollector(report, keep, store=store, now=now, result=result)
        collector.run()
        unreadable += collector.unreadable
    for report in sorted(reports - set(result.active)):
        for root in ROOTS:
            result.uploads += store.abort_uploads(f"{root}{report}/", before=now - GRACE)
    _delete_probes(store, now=now, result=result)
    if unreadable:
        raise unreadable[0]
    return result


def _delete_probes(store: Store, *, now: datetime, result: CollectionResult) -> None:
    """Deletes objects that ``quire check`` left behind when it was killed."""
    old = [entry for entry in store.list(PROBES) if now - entry.modified > GRACE]
    store.delete(entry.key for entry in old)
    result.objects += len(old)
    result.bytes += sum(entry.bytes for entry in old)
    result.uploads += store.abort_uploads(PROBES, before=now - GRACE)


class _ReportCollector:
    """Garbage-collects one report: first finds the objects to delete, then deletes them."""

    def __init__(
        self, report: str, keep: timedelta | None, *, store: Store, now: datetime, result: CollectionResult
    ) -> None:
        self._report, self._keep, self._store, self._now, self._result = report, keep, store, now, result
        self._read_manifests: set[str] = set()  # keys
        self._needed: set[str] = set()  # keys that manifests reference
        self._records: list[str] = []
        self._data: list[StoredObject] = []  # deleted unless a new manifest references them
        self._keep_until: datetime | None = None  # an unreadable manifest may reference any rows stored before it
        self._kept_runs: set[str] = set()  # folders of runs with an unreadable manifest
        self._unreadable_records: set[str] = set()  # keys of records that another version wrote
        self.unreadable: list[IntegrityError] = []

    def run(self) -> None:
        self._find_runs()
        self._find_partitions()
        self._find_workbooks()
        self._find_summaries()
        self._store.delete(self._records)
        # If a run read one of these records just before the deletion, the run is still active, or its manifest now
        # references the record's objects.
        if active := active_runs(self._report, store=self._store, now=self._now):
            self._result.active[self._report] = active[0]
            return
        for entry in self._store.list(f"reports/{self._report}/"):
            if self._is_manifest(entry) and entry.key not in self._read_manifests:
                self._mark_needed(entry)
        unneeded = [entry for entry in self._data if not self._may_be_needed(entry.key, entry.modified)]
        # Records are deleted first, in a separate request, because the store deletes a batch in any order.
        self._store.delete(entry.key for entry in unneeded if entry.key.endswith(".json"))
        self._store.delete(entry.key for entry in unneeded if not entry.key.endswith(".json"))
        self._result.objects += len(unneeded)
        self._result.bytes += sum(entry.bytes for entry in unneeded)

    def _mark_needed(self, record: StoredObject) -> None:
        """Marks the objects that a manifest references as needed.

        If the manifest is unreadable, keeps all objects that it may reference.
        """
        self._read_manifests.add(record.key)
        try:
            manifest = load_manifest(self._store, record.key)
        except IntegrityError as error:
            self._note_unreadable(error, consequence="keeping its run and all of the report's older rows")
            self._keep_until = max(self._keep_until or record.modified, record.modified)
            self._kept_runs.add(folder_of(record.key))
            return
        if manifest is None:  # deleted by a concurrent collection
            return
        self._needed |= {file.key for file in manifest.files}
        self._needed |= {summary.object_key for summary in manifest.summaries}
        self._needed |= {partition.object_key for partition in manifest.partitions}

    def _may_be_needed(self, key: str, modified: datetime) -> bool:
        if key in self._needed:
            return True
        if key.startswith("reports/"):
            return _run_folder(key) in self._kept_runs
        return self._keep_until is not None and modified <= self._keep_until

    def _is_manifest(self, entry: StoredObject) -> bool:
        """Returns whether an object is a run's manifest rather than a file in a subfolder."""
        return entry.key == manifest_key(self._report, _run_folder(entry.key).rpartition("/")[2])

    def _note_unreadable(self, error: IntegrityError, *, consequence: str) -> None:
        logger.warning("%s; %s", error.message, consequence)
        self.unreadable.append(error)

    def _read_cached(
        self, kind: type[Record], key: str, *, ensure: Callable[[Record], None] = lambda record: None
    ) -> Record | None:
        """Returns a commit record, or None if it is missing, damaged or written by a different version of Quire.

        Deletes a damaged record, as a run does, but keeps a record that another version wrote.
        """
        if key in self._unreadable_records:
            return None
        try:
            return find_record(self._store, kind, key, ensure=ensure)
        except IntegrityError as error:
            self._unreadable_records.add(key)
            self._note_unreadable(error, consequence="keeping all objects that it may reference")
            return None

    def _read_partition(self, folder: str) -> StagedPartition | None:
        return self._read_cached(
            StagedPartition, f"{folder}.json", ensure=lambda staged: ensure_own_folder(staged, folder)
        )

    def _find_runs(self) -> None:
        for entries in self._group_objects(f"reports/{self._report}/", 3).values():
            record = next(filter(self._is_manifest, entries), None)
            if record is None:
                self._data += [entry for entry in entries if self._is_old(entry)]
            elif self._keep is not None and self._now - record.modified > self._keep:
                self._records.append(record.key)
                self._data += [entry for entry in entries if entry is not record]
                self._result.runs += 1
            else:
                self._mark_needed(record)
                self._data += [entry for entry in entries if entry is not record and self._is_old(entry)]

    def _find_partitions(self) -> None:
        """Finds superseded partitions, and orphans among their objects.

        Keys begin with ``partitions/<report>/<source digest>/<key>/<freshness token>``.
        """
        for entries in self._group_objects(f"partitions/{self._report}/", 4).values():
            records = [entry for entry in entries if entry.key.count("/") == 4]
            superseded = {
                _folder(record)
                for staged, record in self._superseded_partitions(records)
                if not self._may_be_needed(staged.object_key, record.modified)
            }
            self._records += [f"{folder}.json" for folder in sorted(superseded)]
            self._result.partitions += len(superseded)
            valid = {_folder(entry) for entry in records} - superseded
            contents = defaultdict(list)
            for entry in entries:
                if entry.key.count("/") > 4:
                    contents[folder_of(entry.key)].append(entry)
            for folder, objects in contents.items():
                if folder in superseded:
                    self._data += objects
                elif folder in valid:
                    self._data += [entry for entry in self._unnamed_objects(folder, objects) if self._is_old(entry)]
                else:
                    self._data += [entry for entry in objects if self._is_old(entry)]

    def _superseded_partitions(self, records: Sequence[StoredObject]) -> Iterator[tuple[StagedPartition, StoredObject]]:
        """Yields the records of superseded rows. Only reusable rows can supersede reusable rows.

        Rows from a later snapshot are newer, even if they were stored earlier.
        """
        if len(records) < 2:
            return
        pairs = ((self._read_partition(_folder(record)), record) for record in records)
        # Records that cannot be read are damaged, or were deleted concurrently.
        readable = [(staged, record) for staged, record in pairs if staged]
        readable.sort(key=lambda pair: pair[0].snapshot_at)
        for position, (staged, record) in enumerate(readable):
            newer = readable[position + 1 :]
            later = [other.modified for other_staged, other in newer if other_staged.reusable or not staged.reusable]
            if later and self._now - min(later) > GRACE:
                yield staged, record

    def _unnamed_objects(self, folder: str, objects: list[StoredObject]) -> Iterator[StoredObject]:
        """Yields a partition's objects that no record references, for example because their writer was killed."""
        staged = self._read_partition(folder)
        if staged is None:  # the record is damaged or was just deleted; an active run may still use the objects
            return iter(())
        named = {staged.object_key}
        unreadable_count = len(self.unreadable)
        for entry in objects:
            if entry.key.endswith(".json") and (partials := self._read_cached(PartialSummaries, entry.key)):
                named.add(entry.key)
                named |= {summary.object_key for summary in partials.summaries}
        if len(self.unreadable) > unreadable_count:  # an unreadable record may reference any object
            return iter(())
        return (entry for entry in objects if entry.key not in named)

    def _find_workbooks(self) -> None:
        """Finds shared workbooks that no manifest references, and orphans among their files."""
        groups = defaultdict(list)
        for entry in self._store.list(f"{WORKBOOKS}/{self._report}/"):
            groups[_run_folder(entry.key).removesuffix(".json")].append(entry)
        for folder, entries in groups.items():
            record = next((entry for entry in entries if entry.key == f"{folder}.json"), None)
            files = [entry for entry in entries if entry is not record]
            unneeded = [
                file for file in files if self._is_old(file) and not self._may_be_needed(file.key, file.modified)
            ]
            if record is None:
                self._data += unneeded
            elif len(unneeded) == len(files) and self._is_old(record):
                self._records.append(record.key)
                self._data += unneeded
                self._result.workbooks += 1
            elif unneeded and (cached := self._read_cached(CachedWorkbook, record.key)):
                named = {file.key for file in cached.files}
                self._data += [file for file in unneeded if file.key not in named]

    def _find_summaries(self) -> None:
        for root in ("summaries/", LEGACY_LEASES):
            self._data += [entry for entry in self._store.list(f"{root}{self._report}/") if self._is_old(entry)]

    def _group_objects(self, prefix: str, depth: int) -> dict[str, list[StoredObject]]:
        """Returns the objects under a prefix, grouped by their first ``depth`` folders."""
        groups = defaultdict(list)
        for entry in self._store.list(prefix):
            groups["/".join(entry.key.split("/")[:depth])].append(entry)
        return groups

    def _is_old(self, entry: StoredObject) -> bool:
        return self._now - entry.modified > GRACE


def _run_folder(key: str) -> str:
    return "/".join(key.split("/")[:3])


def _folder(record: StoredObject) -> str:
    return record.key.removesuffix(".json")
