"""A portal app's connections, queues and caches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakValueDictionary

from quire.airflow_dag.connections import open_session, open_store
from quire.object_store import Store
from quire.object_store.s3_store import S3Store
from quire.portal.command_line_runs import CommandLineRuns
from quire.portal.manifest_cache import ManifestCache
from quire.portal.page_summaries import SummaryPreparations
from quire.portal.run_outcomes import RunOutcomes
from quire.portal.run_requests import UserLocks
from quire.portal.run_source import MAX_MANIFESTS
from quire.portal.work_queue import TurnQueue, WorkQueue
from quire.portal.zip_transfers import Transfers
from quire.postgres import SourceSession
from quire.report.catalog import DefinitionCache
from quire.report.definition import ReportDefinition
from quire.settings import StoreSettings

MAX_LISTS = 8
MAX_RUNS = 8  # each uses one thread at a time, and therefore holds at most one manifest
MAX_USER_RUNS = 2  # a user may watch runs in more than one tab
MAX_VALIDATIONS = 2
MAX_CHECK_SECONDS = 2.0  # after which a run is started


class StoreConnection:
    """Opens the store for Airflow's connection. The store is cached, because creating a client is slow."""

    def __init__(self) -> None:
        self._create = lru_cache(maxsize=4)(_create_store)

    def __call__(self) -> S3Store:
        """Returns the store.

        Raises:
            SettingsError: the connection does not exist.
        """
        return self._create(open_store().settings)


def _create_store(settings: StoreSettings) -> S3Store:
    store = S3Store(settings)
    _ = store.client  # created here once, because several threads could otherwise create it concurrently
    return store


def _run_list_queue() -> TurnQueue:
    return TurnQueue("list", slots=MAX_LISTS, threads=MAX_LISTS * MAX_MANIFESTS, seconds=20.0, wait=10.0)


def _run_queue() -> TurnQueue:
    return TurnQueue("request", slots=MAX_RUNS, threads=MAX_RUNS, seconds=20.0, wait=10.0, per_user=MAX_USER_RUNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalResources:
    """The resources that all requests to a portal app share. Each API server process has one app.

    Args:
        open_store: opens the object store.
        open_session: opens a session for a report's source.
        definitions: loads and caches report definitions.
        run_lists: limits concurrent reads of run lists.
        single_runs: limits concurrent reads of single runs.
        validations: limits concurrent validations of report requests.
        estimates: limits concurrent estimates.
        freshness_checks: limits concurrent checks of whether a published run is still current.
        user_locks: a lock for each user, so that a user's runs are started one at a time.
        transfers: limits concurrent zip downloads.
        summaries: prepares and caches the summaries for run pages.
        manifests: caches manifests.
        command_line_runs: caches command-line runs.
        outcomes: caches Airflow run outcomes.
    """

    open_store: Callable[[], Store] = field(default_factory=StoreConnection)
    open_session: Callable[[ReportDefinition], SourceSession] = open_session
    definitions: DefinitionCache = field(default_factory=DefinitionCache)
    run_lists: TurnQueue = field(default_factory=_run_list_queue)
    single_runs: TurnQueue = field(default_factory=_run_queue)
    validations: WorkQueue = field(default_factory=lambda: WorkQueue("check", slots=MAX_VALIDATIONS))
    estimates: WorkQueue = field(default_factory=WorkQueue)
    freshness_checks: WorkQueue = field(
        default_factory=lambda: WorkQueue("check", seconds=MAX_CHECK_SECONDS, wait=MAX_CHECK_SECONDS)
    )
    user_locks: UserLocks = field(default_factory=WeakValueDictionary)
    transfers: Transfers = field(default_factory=Transfers)
    summaries: SummaryPreparations = field(default_factory=SummaryPreparations)
    manifests: ManifestCache = field(default_factory=ManifestCache)
    command_line_runs: CommandLineRuns = field(default_factory=CommandLineRuns)
    outcomes: RunOutcomes = field(default_factory=RunOutcomes)
