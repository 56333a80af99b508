"""What tasks hand on to one another through XCom: records as JSON, and the usage of each task.

plan and layout return what is mapped over, and push the whole record under a key of its own, since a mapping takes a
task's return value only. Whoever receives a record also receives the version of the definition it was made for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, get_current_context

from quire.airflow_dag.own_records import (
    ensure_own_files,
    ensure_own_group,
    ensure_own_partitions,
    ensure_own_plan,
    ensure_own_request,
    ensure_own_run,
    ensure_own_shares,
    ensure_own_summaries,
)
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
from quire.errors import DamagedObjectError, DefinitionError, IntegrityError, ReportError
from quire.run_request import request_conf
from quire.serialization import digest, from_json, to_json
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


def pull_request(definition: ReportDefinition) -> RunRequest | None:
    """Returns the request as plan took it; what the conf says where plan had failed; None where that says nothing."""
    context = get_current_context()
    pushed = context["ti"].xcom_pull("plan", key=PLAN)
    try:
        if isinstance(pushed, dict):
            request = from_json(RunPlan, pushed.get("record")).request
            if (request.report, request.run_id) == (definition.name, own_run_id(context["dag_run"])):
                return request
        return asked_for(definition)
    except ReportError:
        return None


def push_plan(definition: ReportDefinition, plan: RunPlan) -> None:
    """Hands the plan to the tasks that follow; what it found stored by itself, since extracts need not know."""
    _push(PLAN, definition, replace(plan, stored=()))
    _push(STORED, definition, plan.stored)


def push_run(definition: ReportDefinition, run: StagedRun) -> None:
    """Hands what is known of the run to the tasks that follow."""
    _push(RUN, definition, run)


def same_plan(definition: ReportDefinition, pushed: Any, stored: Any = None) -> RunPlan:
    """Returns a pushed plan, with what it found stored where that is given too.

    Raises:
        DefinitionError: the definition was changed since.
        IntegrityError: it is of another run.
    """
    plan = from_json(RunPlan, _of_same_version(definition, pushed))
    if stored is not None:
        plan = replace(plan, stored=from_json(tuple[StagedPartition, ...], _of_same_version(definition, stored)))
    ensure_own_request(plan.request, asked_for(definition))
    ensure_own_plan(definition, plan)
    return plan


def same_run(definition: ReportDefinition, pushed: Any) -> StagedRun:
    """Returns a pushed run.

    Raises:
        DefinitionError: the definition was changed since.
        IntegrityError: it is another run.
    """
    run = from_json(StagedRun, _of_same_version(definition, pushed))
    ensure_own_request(run.plan.request, asked_for(definition))
    ensure_own_run(definition, run)
    return run


def partition_group(definition: ReportDefinition, plan: RunPlan, returned: Any) -> tuple[DatePartition, ...]:
    """Returns the partitions of one extract task.

    Raises:
        IntegrityError: one is not of the plan.
    """
    group = from_json(tuple[DatePartition, ...], returned)
    ensure_own_group(definition, plan, group)
    return group


def staged_summaries(definition: ReportDefinition, plan: RunPlan, returned: Any) -> tuple[StagedSummary, ...]:
    """Returns the summaries of a run.

    Raises:
        IntegrityError: one is not of the run.
    """
    summaries = from_json(tuple[StagedSummary, ...], returned)
    ensure_own_summaries(definition, plan, summaries)
    return summaries


def share_group(definition: ReportDefinition, run: StagedRun, returned: Any) -> tuple[WorkbookShare, ...]:
    """Returns the workbooks of one render task.

    Raises:
        IntegrityError: one is not of the run.
    """
    shares = from_json(tuple[WorkbookShare, ...], returned)
    ensure_own_shares(definition, run, shares)
    return shares


def rendered_files(definition: ReportDefinition, run: StagedRun, returned: Any) -> tuple[RenderedFile, ...]:
    """Returns the files of all render tasks, in order.

    Raises:
        IntegrityError: one is not of the run.
    """
    files = tuple(file for group in returned or () for file in from_json(tuple[RenderedFile, ...], group))
    ensure_own_files(definition, run, files)
    return files


def staged_partitions(definition: ReportDefinition, plan: RunPlan, returned: Any) -> tuple[StagedPartition, ...]:
    """Returns the partitions of a run in order: those that plan found stored, and those of all extract tasks.

    Raises:
        IntegrityError: one is missing, there twice, or not of the run.
    """
    extracted = [part for group in returned or () for part in from_json(tuple[StagedPartition, ...], group)]
    ensure_own_partitions(definition, plan, extracted)
    return whole_range(definition, plan, extracted)


@contextmanager
def usage_pushed(stage: str, names: Sequence[str], statements: StatementLog | None = None) -> Iterator[TaskMeter]:
    """Measures a task, hands what it took to publish, and names it in Airflow's pages by what it works on."""
    from quire.usage import measured

    label = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    context = get_current_context()
    context["label"] = label  # type: ignore[typeddict-unknown-key]
    with measured(stage, label, statements) as meter:
        yield meter
        context["ti"].xcom_push(USAGE, to_json(meter.usage()))


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


def task_usages(*pushed: Any) -> tuple[TaskUsage, ...]:
    """Returns what each task before took: one record of a plain task, one a piece of a mapped one."""
    found: list[Any] = []
    for given in pushed:
        found += [given] if isinstance(given, dict) else list(given or ())
    return tuple(from_json(TaskUsage, usage) for usage in found)


def _push(key: str, definition: ReportDefinition, record: Any) -> None:
    get_current_context()["ti"].xcom_push(key, {"definition": _version(definition), "record": to_json(record)})


def _version(definition: ReportDefinition) -> str:
    return digest(definition.model_dump(mode="json"))


def _of_same_version(definition: ReportDefinition, pushed: Any) -> Any:
    """Every task reads the files anew: rows of one query must not be stored as another's."""
    if not isinstance(pushed, dict) or not {"definition", "record"} <= set(pushed):
        raise IntegrityError("an XCom of this run is not what its task pushed: run it again", report=definition.name)
    if pushed["definition"] != _version(definition):
        raise DefinitionError("its files were changed while it ran: start it again", report=definition.name)
    return pushed["record"]
