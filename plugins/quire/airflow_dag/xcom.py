"""Passes sealed records and resource usage from task to task through XComs.

Plan and layout return the groups over which Airflow maps the next task. Because Airflow can map a task only over a
return value, plan and layout push their other records under separate keys.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, get_current_context

from quire.airflow_dag.sealing import SEAL, Record, Sealer, changed_xcom
from quire.date_range import DatePartition
from quire.errors import DamagedObjectError, ReportError
from quire.object_store import Store
from quire.partition_cache.cache import merge_partitions
from quire.record_types.run_result import RunResult
from quire.record_types.stage_records import (
    LaidOutRun,
    PlannedRun,
    RenderedFile,
    RunPlan,
    StagedPartition,
    StagedRun,
    StagedSummary,
    TaskUsage,
    WorkbookShard,
)
from quire.report.definition import ReportDefinition, StageName
from quire.report.request import RunRequest, request_from_conf

if TYPE_CHECKING:
    from quire.resource_usage import StatementLog, TaskMeter

logger = logging.getLogger(__name__)

PLAN, CACHED, RUN, USAGE, DAMAGE, PUBLISHED = "plan", "cached", "run", "usage", "damage", "published"
STORE_SUFFIX = "__store"  # the ID suffix for DAGs that store partitions ahead of time
PUBLISH: StageName = "publish"
UNREACHED = "unreached"  # one sentence for each recipient that notify could not reach
PARTITION_GROUPS, PARTITIONS, SUMMARIES = "groups of partitions", "partitions", "summaries"  # purposes of return values
WORKBOOK_GROUPS, FILES = "groups of workbooks", "files"
RETURN_VALUE = "return_value"
NOTIFY = "notify"  # the ID of the task that sends notifications after all stages


def publishing_task(tasks: Iterable[Mapping[str, Any]], planned: Any) -> str | None:
    """Returns the ID of the task that published a run, or None if none did.

    Task states cannot show that plan published the run, because Airflow also skips tasks in canceled runs.

    Args:
        tasks: the run's task states.
        planned: plan's return value, which is partition groups or a description of the run that it published.
    """
    successful = {task["task_id"] for task in tasks if task["state"] == "success"}
    if PUBLISH in successful:
        return PUBLISH
    return PLAN if PLAN in successful and isinstance(planned, dict) else None


def current_request(definition: ReportDefinition) -> RunRequest:
    """Builds the current run's request from the run's conf and the form's defaults.

    Raises:
        ParameterError, RangeError: the conf is not a valid request.
    """
    context = get_current_context()
    run = context["dag_run"]
    return request_from_conf(
        definition,
        {**context["params"], **(run.conf or {})},
        run_id=airflow_run_id(run.dag_id, run.run_id),
        run_after=run.run_after,
        made_at=run.start_date,
    )


def valid_request(definition: ReportDefinition) -> RunRequest | None:
    """Returns the current run's request, or None if the run's conf is not valid."""
    try:
        return current_request(definition)
    except ReportError:
        return None


def airflow_run_id(dag_id: str, run_id: str) -> str:
    """Returns a run's name in the store. The name is unique across DAGs, because no DAG ID contains a colon."""
    return f"{dag_id}:{run_id}"


def release_lease_of(context: Context) -> None:
    """Releases a run's lease after a task's last attempt. Tasks that are still running renew the lease."""
    from quire.airflow_dag.connections import open_store
    from quire.runs.leases import release_lease

    run = context["dag_run"]
    try:
        release_lease(run.dag_id.removesuffix(STORE_SUFFIX), airflow_run_id(run.dag_id, run.run_id), store=open_store())
    except ReportError as error:  # if the store's connection is unusable, there is no lease
        logger.warning("could not release run %s's lease, which will expire: %s", run.run_id, error)


class SealedXComs:
    """Opens the records from a run's earlier tasks, and seals and pushes the current task's records.

    Records form a chain, so that nobody can combine records from two attempts or from two runs with the same ID. A
    record that was derived from the plan contains the plan's seal. Summaries, workbooks and files contain the staged
    run's seal.

    Args:
        definition: the report.
        store: the store that holds the sealing key.
    """

    def __init__(self, definition: ReportDefinition, *, store: Store) -> None:
        self._definition = definition
        run = get_current_context()["dag_run"]
        self._sealer = Sealer(definition, airflow_run_id(run.dag_id, run.run_id), store=store)
        self._plan_seal = self._run_seal = ""

    def plan(self, pushed: Any) -> RunPlan:
        """Returns a pushed plan. Call this method first, because the other records contain the plan's seal.

        Raises:
            DefinitionError: the definition has changed since the plan was sealed.
            IntegrityError: no task in this run sealed the plan. The other methods also raise this error for unsealed
                records.
        """
        return self._open_plan(pushed)

    def run(self, pushed: Any) -> StagedRun:
        """Returns a pushed run. If a task does not open the plan, it must call this method first."""
        run = self._sealer.open(RUN, StagedRun, pushed, chain=None)
        self._plan_seal, self._run_seal = pushed["chain"], pushed[SEAL]
        return run

    def partition_group(self, returned: Any) -> tuple[DatePartition, ...]:
        """Returns the partitions for one extract task."""
        return self._open(PARTITION_GROUPS, tuple[DatePartition, ...], returned)

    def partitions(self, plan: RunPlan, cached: Any, returned: Any) -> tuple[StagedPartition, ...]:
        """Returns a run's cached partitions and the partitions that the extract tasks returned, in order."""
        groups = self._each(PARTITIONS, tuple[StagedPartition, ...], returned)
        groups.append(self._open(CACHED, tuple[StagedPartition, ...], cached))
        return merge_partitions(self._definition, plan, [partition for group in groups for partition in group])

    def summaries(self, run: StagedRun, returned: Any) -> tuple[StagedSummary, ...]:
        """Returns a run's summaries, or none if the run was already published and aggregate was skipped."""
        if run.layout.already_published:
            return ()
        return self._sealer.open(SUMMARIES, tuple[StagedSummary, ...], returned, chain=self._run_seal)

    def shard_group(self, returned: Any) -> tuple[WorkbookShard, ...]:
        """Returns the workbooks for one render task."""
        return self._sealer.open(WORKBOOK_GROUPS, tuple[WorkbookShard, ...], returned, chain=self._run_seal)

    def files(self, returned: Any) -> tuple[RenderedFile, ...]:
        """Returns the files from all render tasks, in order."""
        groups = self._each(FILES, tuple[RenderedFile, ...], returned, chain=self._run_seal)
        return tuple(file for group in groups for file in group)

    def usages(self, *pushed: Any) -> tuple[TaskUsage, ...]:
        """Returns each earlier task's resource usage. Each mapped task instance pushes its own."""
        return tuple(usage for values in pushed for usage in self._each(USAGE, TaskUsage, values))

    def damage(self, *pushed: Any) -> str:
        """Returns the error message from the first task that read a damaged object, or an empty string."""
        return next((error for values in pushed for error in self._each(DAMAGE, str, values) if error), "")

    def request(self, pushed: Any) -> RunRequest:
        """Returns the request from a pushed plan, even if the definition has changed since then."""
        return self._open_plan(pushed, any_version=True).request

    def result(self, pushed: Any) -> RunResult:
        """Returns the result that publish pushed for notifications, even if the definition has changed since then."""
        return self._sealer.open(PUBLISHED, RunResult, pushed, chain=self._plan_seal, any_version=True)

    def push_planned(self, planned: PlannedRun, *, is_published: bool = False) -> list[dict[str, str]]:
        """Pushes the plan and the cached partitions, and returns one sealed group for each extract task.

        If plan has published the run, no stage reads the partitions, and each push is a request to the API server.
        """
        self._plan_seal = self._push(PLAN, planned.plan)
        if not is_published:
            self._push(CACHED, planned.cached)
        return [self._seal(PARTITION_GROUPS, group) for group in planned.groups]

    def push_laid_out(self, laid_out: LaidOutRun) -> list[dict[str, str]]:
        """Pushes the staged run and returns one sealed group of workbooks for each render task."""
        self._run_seal = self._push(RUN, laid_out.run)
        return [self._sealer.seal(WORKBOOK_GROUPS, group, chain=self._run_seal) for group in laid_out.groups]

    def push_published(self, run: RunResult) -> None:
        """Pushes the published run for notifications."""
        self._push(PUBLISHED, run)

    def seal_partitions(self, partitions: Sequence[StagedPartition]) -> dict[str, str]:
        """Seals an extract task's return value."""
        return self._seal(PARTITIONS, partitions)

    def seal_summaries(self, summaries: Sequence[StagedSummary]) -> dict[str, str]:
        """Seals aggregate's return value."""
        return self._sealer.seal(SUMMARIES, summaries, chain=self._run_seal)

    def seal_files(self, files: Sequence[RenderedFile]) -> dict[str, str]:
        """Seals a render task's return value."""
        return self._sealer.seal(FILES, files, chain=self._run_seal)

    def push_usages(self, usages: Sequence[TaskUsage]) -> None:
        """Pushes the resource usage for several stages that one task ran."""
        get_current_context()["ti"].xcom_push(USAGE, [self._seal(USAGE, usage) for usage in usages])

    @contextmanager
    def measure_usage(
        self, stage: str, names: Sequence[str], statements: StatementLog | None = None
    ) -> Iterator[TaskMeter]:
        """Measures a task, pushes its resource usage, and shows ``names`` as the task's label on Airflow's pages."""
        from quire.resource_usage import measure_task

        label = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        get_current_context()["label"] = label  # type: ignore[typeddict-unknown-key]
        with measure_task(stage, label, statements) as meter:
            yield meter
            self._push(USAGE, meter.usage())

    def push_skipped(self, stage: str, name: str) -> None:
        """Pushes a skipped task's XComs, because publish reads them and Airflow cannot resolve missing XComs."""
        with self.capture_damage(), self.measure_usage(stage, [name]):
            pass

    @contextmanager
    def capture_damage(self) -> Iterator[None]:
        """Lets a task that reads a damaged object succeed, and pushes the error to publish, which repeats the run.

        A single task can neither extract the damaged partition again nor pass the new rows to the other tasks.
        """
        damage = ""
        try:
            yield
        except DamagedObjectError as error:
            logger.warning("%s; publish will run all stages again", error)
            damage = str(error)
        self._push(DAMAGE, damage)

    def _each(self, purpose: str, kind: type[Record], pushed: Any, *, chain: str | None = None) -> list[Record]:
        """Opens the records from a task or from each mapped task instance, without duplicates.

        Airflow keeps XComs from mapped instances that existed only in an earlier attempt of the run. This method
        ignores their records, because they belong to a different chain.
        """
        values = [pushed] if isinstance(pushed, dict) else pushed or ()
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise changed_xcom(purpose)
        sealed = {str(value.get(SEAL)) if isinstance(value, dict) else "": value for value in values}
        chain = self._plan_seal if chain is None else chain
        return self._sealer.open_each(purpose, kind, sealed.values(), chain=chain)

    def _open_plan(self, pushed: Any, *, any_version: bool = False) -> RunPlan:
        plan = self._sealer.open(PLAN, RunPlan, pushed, any_version=any_version)
        self._plan_seal = pushed[SEAL]
        return plan

    def _open(self, purpose: str, kind: type[Record], sealed: Any) -> Record:
        return self._sealer.open(purpose, kind, sealed, chain=self._plan_seal)

    def _seal(self, purpose: str, record: Any) -> dict[str, str]:
        return self._sealer.seal(purpose, record, chain=self._plan_seal)

    def _push(self, key: str, record: Any) -> str:
        """Pushes a sealed record and returns its seal."""
        sealed = self._seal(key, record)
        get_current_context()["ti"].xcom_push(key, sealed)
        return sealed[SEAL]
