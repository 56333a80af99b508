"""Housekeeping: deletes what nobody needs any more, in an order that may be interrupted anywhere.

A record (manifest or partition's JSON) goes before what it names, so that nobody finds half a run; what is left behind
has no record, and goes the next time. A report with an active run is left alone: leases are looked for before the
records go, and again before the rest.
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
from quire.partitions.cache import ensure_own_folder
from quire.records.manifest import manifest_key
from quire.records.stage_records import PartialSummaries, StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.leases import LEASES, ActiveRun, active_runs
from quire.runs.manifest_store import load_manifest

logger = logging.getLogger(__name__)

GRACE = timedelta(days=1)  # what is younger may be at work, though nothing names it yet
ROOTS = ("partitions/", "reports/", "summaries/")
NOTES = "running/"  # what earlier versions had instead of leases


@dataclass(slots=True)
class CollectionResult:
    """What retention deleted, and the reports that it left for the next time, with a run of each that is active."""

    runs: int = 0
    partitions: int = 0
    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    active: dict[str, ActiveRun] = field(default_factory=dict)


def collect_garbage(definitions: Mapping[str, ReportDefinition], *, store: Store, now: datetime) -> CollectionResult:
    """Deletes published runs past ``keep``, superseded partitions, orphans of killed runs, and abandoned uploads.

    Kept are, of every partition, the newest rows; whatever a manifest names; and all that is younger than a day. Beside
    an unreadable manifest, the files of its run are kept, and all rows and summaries that are older than it.
    Damaged records of partitions, which no run can use, are deleted.

    Args:
        definitions: by name; of a report without one, published runs are kept.
        store: where all of it is.
        now: an aware instant.

    Raises:
        IntegrityError: a record cannot be read; everything else is swept all the same.
        StoreRefusedError, StoreUnavailableError: the object store cannot be read, or does not delete.
    """
    done, torn = CollectionResult(), list[IntegrityError]()
    reports = {folder.split("/")[1] for root in (*ROOTS, LEASES, NOTES) for folder in store.folders(root)}
    for report in sorted(reports):
        if running := active_runs(report, store=store, now=now):
            done.active[report] = running[0]
            continue
        definition = definitions.get(report)
        keep = definition.delivery.keep if definition else None
        sweep = _Sweep(report, keep, store=store, now=now, done=done)
        sweep.run()
        torn += sweep.unreadable
    for report in sorted(reports - set(done.active)):
        for root in ROOTS:
            done.uploads += store.abort_uploads(f"{root}{report}/", before=now - GRACE)
    _delete_probes(store, now=now, done=done)
    if torn:
        raise torn[0]
    return done


def _delete_probes(store: Store, *, now: datetime, done: CollectionResult) -> None:
    """Deletes what a killed ``quire check`` has left."""
    old = [entry for entry in store.list(PROBES) if now - entry.modified > GRACE]
    store.delete(entry.key for entry in old)
    done.objects += len(old)
    done.bytes += sum(entry.bytes for entry in old)
    done.uploads += store.abort_uploads(PROBES, before=now - GRACE)


class _Sweep:
    """One report's: first finds what may go, then lets it go."""

    def __init__(
        self, report: str, keep: timedelta | None, *, store: Store, now: datetime, done: CollectionResult
    ) -> None:
        self._report, self._keep, self._store, self._now, self._done = report, keep, store, now, done
        self._read: set[str] = set()  # manifests
        self._needed: set[str] = set()  # keys that a manifest names
        self._records: list[str] = []
        self._data: list[StoredObject] = []  # unless a manifest comes that names it
        self._undecided_until: datetime | None = None  # an unreadable manifest may name rows that are older
        self._kept_runs: set[str] = set()  # folders
        self._unreadable_records: set[str] = set()  # keys, of another version
        self.unreadable: list[IntegrityError] = []

    def run(self) -> None:
        self._find_runs()
        self._find_partitions()
        self._find_summaries()
        self._store.delete(self._records)
        # A run that found one of these records just before is active still, or has published what it found.
        if running := active_runs(self._report, store=self._store, now=self._now):
            self._done.active[self._report] = running[0]
            return
        for entry in self._store.list(f"reports/{self._report}/"):
            if self._is_manifest(entry) and entry.key not in self._read:
                self._need(entry)
        going = [entry for entry in self._data if not self._may_be_needed(entry.key, entry.modified)]
        # Records of parts go before what they name: a batch is deleted in any order.
        self._store.delete(entry.key for entry in going if entry.key.endswith(".json"))
        self._store.delete(entry.key for entry in going if not entry.key.endswith(".json"))
        self._done.objects += len(going)
        self._done.bytes += sum(entry.bytes for entry in going)

    def _need(self, record: StoredObject) -> None:
        """Notes what a manifest names; of one that cannot be read, what it may name."""
        self._read.add(record.key)
        try:
            manifest = load_manifest(self._store, record.key)
        except IntegrityError as error:
            self._note_unreadable(error, kept="its run and all older rows of the report are kept")
            self._undecided_until = max(self._undecided_until or record.modified, record.modified)
            self._kept_runs.add(folder_of(record.key))
            return
        if manifest is None:  # another sweep was quicker
            return
        self._needed |= {file.key for file in manifest.files}
        self._needed |= {summary.object_key for summary in manifest.summaries}
        self._needed |= {partition.object_key for partition in manifest.partitions}

    def _may_be_needed(self, key: str, modified: datetime) -> bool:
        if key in self._needed:
            return True
        if key.startswith("reports/"):
            return _run_folder(key) in self._kept_runs
        return self._undecided_until is not None and modified <= self._undecided_until

    def _is_manifest(self, entry: StoredObject) -> bool:
        """Whether an object lies where the manifest of a run does, and not in a folder below it."""
        return entry.key == manifest_key(self._report, _run_folder(entry.key).rpartition("/")[2])

    def _note_unreadable(self, error: IntegrityError, *, kept: str) -> None:
        logger.warning("%s; %s", error.message, kept)
        self.unreadable.append(error)

    def _read_cached(
        self, kind: type[Record], key: str, *, ensure: Callable[[Record], None] = lambda record: None
    ) -> Record | None:
        """Returns a record of cached objects; deletes a damaged one, as a run would; keeps one of another version."""
        if key in self._unreadable_records:
            return None
        try:
            return find_record(self._store, kind, key, ensure=ensure)
        except IntegrityError as error:
            self._unreadable_records.add(key)
            self._note_unreadable(error, kept="what it may name is kept")
            return None

    def _read_partition(self, place: str) -> StagedPartition | None:
        return self._read_cached(
            StagedPartition, f"{place}.json", ensure=lambda staged: ensure_own_folder(staged, place)
        )

    def _find_runs(self) -> None:
        for entries in self._grouped(f"reports/{self._report}/", 3).values():
            record = next(filter(self._is_manifest, entries), None)
            if record is None:
                self._data += [entry for entry in entries if self._is_old(entry)]
            elif self._keep is not None and self._now - record.modified > self._keep:
                self._records.append(record.key)
                self._data += [entry for entry in entries if entry is not record]
                self._done.runs += 1
            else:
                self._need(record)
                self._data += [entry for entry in entries if entry is not record and self._is_old(entry)]

    def _find_partitions(self) -> None:
        """Goes through ``partitions/<report>/<source digest>/<key>/<token>``: its record, and the objects in it."""
        for entries in self._grouped(f"partitions/{self._report}/", 4).values():
            records = [entry for entry in entries if entry.key.count("/") == 4]
            superseded = {
                _place(record)
                for staged, record in self._superseded(records)
                if not self._may_be_needed(staged.object_key, record.modified)
            }
            self._records += [f"{place}.json" for place in sorted(superseded)]
            self._done.partitions += len(superseded)
            counting = {_place(entry) for entry in records} - superseded
            inside = defaultdict(list)
            for entry in entries:
                if entry.key.count("/") > 4:
                    inside[folder_of(entry.key)].append(entry)
            for place, objects in inside.items():
                if place in superseded:
                    self._data += objects
                elif place in counting:
                    self._data += [entry for entry in self._unnamed(place, objects) if self._is_old(entry)]
                else:
                    self._data += [entry for entry in objects if self._is_old(entry)]

    def _superseded(self, records: Sequence[StoredObject]) -> Iterator[tuple[StagedPartition, StoredObject]]:
        """Gives the records of rows that others follow: rows that no other run can find do not supersede rows that may.

        What counts is when the rows were read: one may be stored long after another that was read later.
        """
        if len(records) < 2:
            return
        read = ((self._read_partition(_place(record)), record) for record in records)
        found = [(staged, record) for staged, record in read if staged]  # else damaged, or another sweep was quicker
        found.sort(key=lambda pair: pair[0].snapshot_at)
        for position, (staged, record) in enumerate(found):
            later = [other.modified for newer, other in found[position + 1 :] if newer.reusable or not staged.reusable]
            if later and self._now - min(later) > GRACE:
                yield staged, record

    def _unnamed(self, place: str, objects: list[StoredObject]) -> Iterator[StoredObject]:
        """Gives what no record of a partition names: of writers that were second, and killed before they dropped it."""
        staged = self._read_partition(place)
        if staged is None:  # damaged, or another sweep was quicker; a run may have found it before
            return iter(())
        named = {staged.object_key}
        unreadable = len(self.unreadable)
        for entry in objects:
            if entry.key.endswith(".json") and (partials := self._read_cached(PartialSummaries, entry.key)):
                named.add(entry.key)
                named |= {summary.object_key for summary in partials.summaries}
        if len(self.unreadable) > unreadable:  # and may name any of the others
            return iter(())
        return (entry for entry in objects if entry.key not in named)

    def _find_summaries(self) -> None:
        for root in ("summaries/", NOTES):
            self._data += [entry for entry in self._store.list(f"{root}{self._report}/") if self._is_old(entry)]

    def _grouped(self, prefix: str, depth: int) -> dict[str, list[StoredObject]]:
        """Returns what lies below a prefix, by its first ``depth`` folders."""
        found = defaultdict(list)
        for entry in self._store.list(prefix):
            found["/".join(entry.key.split("/")[:depth])].append(entry)
        return found

    def _is_old(self, entry: StoredObject) -> bool:
        return self._now - entry.modified > GRACE


def _run_folder(key: str) -> str:
    return "/".join(key.split("/")[:3])


def _place(record: StoredObject) -> str:
    return record.key.removesuffix(".json")
