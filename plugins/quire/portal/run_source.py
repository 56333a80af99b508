"""Reads published runs for a request, using the portal's caches and a queue's threads."""

from __future__ import annotations

from dataclasses import dataclass

from quire.object_store import Store
from quire.portal.command_line_runs import CommandLineRun, CommandLineRuns
from quire.portal.manifest_cache import ManifestCache
from quire.portal.run_outcomes import RunOutcomes
from quire.portal.work_queue import InThread
from quire.record_types.manifest import Manifest

MAX_MANIFESTS = 4  # concurrent reads per list


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSource:
    """The store and the caches from which runs are read for a request.

    Args:
        store: the store that holds the manifests.
        manifests: the manifest cache.
        command_line: the command-line run cache.
        outcomes: the cache for Airflow run outcomes.
        in_thread: runs a blocking function in a thread.
    """

    store: Store
    manifests: ManifestCache
    command_line: CommandLineRuns
    outcomes: RunOutcomes
    in_thread: InThread

    def command_line_runs(self, report: str) -> list[CommandLineRun]:
        """Returns a report's command-line runs, newest first (see ``CommandLineRuns.list``)."""
        return self.command_line.list(self.store, report)

    def manifest(self, report: str, run_key: str) -> Manifest:
        """Returns a published run's manifest (see ``ManifestCache.read``)."""
        return self.manifests.read(self.store, report, run_key)
