"""Keeps report definitions in memory until their files change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quire.report.catalog.loading import Catalog, find_definition, load_catalog, read_report
from quire.report.catalog.text_file import FileSignature, find_signature
from quire.report.definition import ReportDefinition

# File systems round timestamps to a few milliseconds. If a file changed just before it was read, it can change again
# without receiving a new timestamp.
MIN_AGE_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class _Entry:
    signatures: dict[Path, FileSignature | None]
    definition: ReportDefinition


class DefinitionCache:
    """Loads reports as ``load_catalog`` and ``find_definition`` do, but rereads them only if their files have changed.

    Invalid reports are reread on each call.

    Args:
        now_ns: returns the time in nanoseconds, on the clock that the file system uses.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._entries: dict[Path, _Entry] = {}

    def load(self, include: Path, *, only: str | None = None) -> Catalog:
        """Returns the reports in a folder, or a single report (see ``load_catalog``).

        Raises:
            DefinitionError: the folder does not exist.
        """
        catalog = load_catalog(include, only=only, read=self._read)
        if only is not None:
            return catalog
        for path in list(self._entries):  # a copy, because other threads may add or remove entries during the loop
            if path.stem not in catalog.definitions:
                self._entries.pop(path, None)
        return catalog

    def find(self, include: Path, name: str) -> ReportDefinition:
        """Returns one report.

        Raises:
            DefinitionError: no report has this name, or the report's files are invalid.
        """
        return find_definition(include, name, read=self._read)

    def _read(self, path: Path) -> ReportDefinition:
        entry = self._entries.get(path)
        if entry and all(find_signature(file) == signature for file, signature in entry.signatures.items()):
            return entry.definition
        signatures: dict[Path, FileSignature | None] = {}
        latest = self._now_ns() - MIN_AGE_NS
        definition = read_report(path, before_reading=lambda file: signatures.update({file: find_signature(file)}))
        if all(signature and signature[-1] < latest for signature in signatures.values()):
            self._entries[path] = _Entry(signatures, definition)
        return definition
