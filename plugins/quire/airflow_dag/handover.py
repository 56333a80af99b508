"""What tasks hand on to one another through XCom: sealed records, and the usage of each task.

plan and layout return what is mapped over, and push the whole record under a key of its own, since a mapping takes a
task's return value only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, get_current_context

from quire.airflow_dag.sealing import Sealer
from quire.artifacts import (
    RenderedFile,
    RunPlan,
    RunRequest,
    StagedPartition,
    StagedRun,
    StagedSummary,
    TaskUsage,
    WorkbookShare,
)
from quire.calendar_range import DatePartition
from quire.definition import ReportDefinition, StageName
from quire.errors import DamagedObjectError, ReportError
from quire.object_store import ObjectStore
from quire.run_request import request_conf
from quire.stored_partitions import whole_range

if TYPE_CHECKING:
    from quire.usage import StatementLog, TaskMeter

logger = logging.getLogger(__name__)

PLAN, STORED, RUN, USAGE, DAMAGE = "plan", "stored", "run", "usage", "damage"
STORE_SUFFIX = "__store"  # of the DAG that stores ahead
PUBLISH: StageName = "publish"
UNREACHED = "unreached"  # whom notify could not reach, as sentences
NOTIFY = "notify"  # the task behind all stages, which tells those who want to know


def is_published(tasks: Iterable[Mapping[str, Any]]) -> bool:
    """Whether publish has succeeded, by the states of a run's tasks as Airflow tells them."""
    return any((task["task_id"], task["state"]) == (PUBLISH, "success") for task in tasks)


def asked_for(definition: ReportDefinition) -> RunRequest:
    """Returns what the run at hand was asked for: its conf, over the form's defaults.

    Raises:
        ParameterError, RangeError: it cannot be meant so.
    """
    context = get_current_context()
    run = context["dag_run"]
    return request_conf(
        definition,
        {**context["params"], **(run.conf or {})},
        run_id=own_run_id(run),
        run_after=run.run_after,
    )


def valid_request(definition: ReportDefinition) -> RunRequest | None:
    """Returns what the run at hand was asked for, or None where it cannot be meant so."""
    try:
        return asked_for(definition)
    except ReportError:
        return None


def own_run_id(run: Any) -> str:
    """Returns what the run at hand is called in the store."""
    return airflow_run_id(run.dag_id, run.run_id)


def airflow_run_id(dag_id: str, run_id: str) -> str:
    """Returns what a run is called in the store: of a report's two DAGs, each may have a run of the same id.

    No DAG id has a colon, so that no two runs share a name, and with it a lease.
    """
    return f"{dag_id}:{run_id}"


def release_lease_of(context: Context) -> None:
    """Takes a run's lease away once a task has failed for good; tasks beside it that go on renew it."""
    from quire.airflow_dag.connections import open_store
    from quire.leases import release_lease

    run = context["dag_run"]
    try:
        release_lease(run.dag_id.removesuffix(STORE_SUFFIX), own_run_id(run), store=open_store())
    except ReportError as error:  # there is no usable connection, and so no lease
        logger.warning("the lease of run %s expires by itself: %s", run.run_id, error)


class Handover:
    """What one task of a run receives from the tasks before it, and hands on.

    Args:
        definition: the report.
        store: where the key lies that the run's records are sealed with.
    """

    def __init__(self, definition: ReportDefinition, *, store: ObjectStore) -> None:
        self._definition = definition
        self._sealer = Sealer(definition, own_run_id(get_current_context()["dag_run"]), store=store)

    def plan(self, pushed: Any, stored: Any = None) -> RunPlan:
        """Returns a pushed plan, with what it found stored where that is given too.

        Raises:
            DefinitionError: the definition was changed since.
            IntegrityError: no task of this run sealed it; so do the other methods.
        """
        plan = self._sealer.open(PLAN, RunPlan, pushed)
        if stored is None:
            return plan
        return replace(plan, stored=self._sealer.open(STORED, tuple[StagedPartition, ...], stored))

    def run(self, pushed: Any) -> StagedRun:
        """Returns a pushed run."""
        return self._sealer.open(RUN, StagedRun, pushed)

    def partition_group(self, returned: Any) -> tuple[DatePartition, ...]:
        """Returns the partitions of one extract task."""
        return self._sealer.open("groups of partitions", tuple[DatePartition, ...], returned)

    def partitions(self, plan: RunPlan, returned: Any) -> tuple[StagedPartition, ...]:
        """Returns the partitions of a run in order: those that plan found stored, and those of all extract tasks."""
        kind = tuple[StagedPartition, ...]
        extracted = [part for group in returned or () for part in self._sealer.open("partitions", kind, group)]
        return whole_range(self._definition, plan, extracted)

    def summaries(self, returned: Any) -> tuple[StagedSummary, ...]:
        """Returns the summaries of a run."""
        return self._sealer.open("summaries", tuple[StagedSummary, ...], returned)

    def share_group(self, returned: Any) -> tuple[WorkbookShare, ...]:
        """Returns the workbooks of one render task."""
        return self._sealer.open("groups of workbooks", tuple[WorkbookShare, ...], returned)

    def files(self, returned: Any) -> tuple[RenderedFile, ...]:
        """Returns the files of all render tasks, in order."""
        kind = tuple[RenderedFile, ...]
        return tuple(file for group in returned or () for file in self._sealer.open("files", kind, group))

    def usages(self, *pushed: Any) -> tuple[TaskUsage, ...]:
        """Returns what each task before took: one record of a plain task, one a piece of a mapped one."""
        sealed: list[Any] = []
        for usage in pushed:
            sealed += [usage] if isinstance(usage, dict) else list(usage or ())
        return tuple(self._sealer.open(USAGE, TaskUsage, usage) for usage in sealed)

    def push_plan(self, plan: RunPlan) -> list[dict[str, str]]:
        """Hands on the plan, and what it found stored by itself, since extracts need not know; returns its groups."""
        self._push(PLAN, replace(plan, stored=()))
        self._push(STORED, plan.stored)
        return [self._sealer.seal("groups of partitions", group) for group in plan.groups]

    def push_run(self, run: StagedRun) -> None:
        """Hands on what is known of the run."""
        self._push(RUN, run)

    def seal_partitions(self, partitions: Sequence[StagedPartition]) -> dict[str, str]:
        """Returns what an extract task returns."""
        return self._sealer.seal("partitions", partitions)

    def seal_summaries(self, summaries: Sequence[StagedSummary]) -> dict[str, str]:
        """Returns what aggregate returns."""
        return self._sealer.seal("summaries", summaries)

    def seal_share_groups(self, groups: Sequence[Sequence[WorkbookShare]]) -> list[dict[str, str]]:
        """Returns what layout returns, for a render task each."""
        return [self._sealer.seal("groups of workbooks", group) for group in groups]

    def seal_files(self, files: Sequence[RenderedFile]) -> dict[str, str]:
        """Returns what a render task returns."""
        return self._sealer.seal("files", files)

    @contextmanager
    def usage_pushed(
        self, stage: str, names: Sequence[str], statements: StatementLog | None = None
    ) -> Iterator[TaskMeter]:
        """Measures a task, hands what it took to publish, and names it in Airflow's pages by what it works on."""
        from quire.usage import measured

        label = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        get_current_context()["label"] = label  # type: ignore[typeddict-unknown-key]
        with measured(stage, label, statements) as meter:
            yield meter
            self._push(USAGE, meter.usage())

    def _push(self, key: str, record: Any) -> None:
        get_current_context()["ti"].xcom_push(key, self._sealer.seal(key, record))


@contextmanager
def damage_pushed() -> Iterator[None]:
    """Lets a task end well where it meets a damaged object, and tells publish, which starts the run again.

    A task of its own can neither extract the partition again nor have its siblings take the new rows.
    """
    damage = ""
    try:
        yield
    except DamagedObjectError as error:
        logger.warning("%s; publish starts the run again", error)
        damage = str(error)
    get_current_context()["ti"].xcom_push(DAMAGE, damage)


def first_damage(*pushed: Any) -> str:
    """Returns what the first task to meet a damaged object said of it, if one has."""
    for given in pushed:
        for damage in [given] if isinstance(given, str) else given or ():
            if damage:
                return str(damage)
    return ""
