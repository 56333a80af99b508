"""Runs a report's DAG task by task in this process, and passes XComs between tasks as JSON, like Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
from airflow.sdk.execution_time.context import set_current_context
from quire.airflow_dag import assets, build_dag
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN, USAGE
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.report.definition import ReportDefinition
from quire.settings import STORE_CONNECTION, connection_variable

XCOM_KEYS = (PLAN, CACHED, RUN, USAGE, DAMAGE)


@dataclass
class TaskCalls:
    """Calls a DAG's tasks and stores their XComs.

    Args:
        definition: the report.
        conf: the run's conf.
        build: a function that builds the DAG.
        xcoms: the XComs by task and key; a mapped task's XCom is a list.
        outlets: URIs of the assets for which Airflow would create events, by task.
        partition_keys: the partition keys in the run's events.
        skipped: the tasks that a task asked Airflow to skip.
        started_at: when the run started; stays the same if a task is retried.
        try_number: the current task's attempt number.
        earlier_states: the run's task states before this attempt.
    """

    definition: ReportDefinition
    conf: dict[str, Any]
    build: Callable[[ReportDefinition], DAG] = build_dag
    xcoms: dict[str, dict[str, Any]] = field(default_factory=dict)
    outlets: dict[str, list[str]] = field(default_factory=dict)
    partition_keys: list[str] = field(default_factory=list)
    skipped: list[Any] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    try_number: int = 1
    earlier_states: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dag = self.build(self.definition)

    def _context(self, pushed: dict[str, Any]) -> Any:
        run = SimpleNamespace(
            dag_id=self.dag.dag_id,
            run_id="r1",
            conf=self.conf,
            run_after=datetime(2013, 4, 1, tzinfo=UTC),
            start_date=self.started_at,
        )
        return {
            "dag_run": run,
            "params": {name: self.dag.params[name] for name in self.dag.params},
            "task": SimpleNamespace(outlets=[]),
            "run_id": "r1",
            "ti": SimpleNamespace(
                xcom_push=pushed.__setitem__,
                dag_id=self.dag.dag_id,
                try_number=self.try_number,
                get_task_states=lambda dag_id, *, task_ids, run_ids: {"r1": self.earlier_states},
            ),
            "outlet_events": {
                assets.report_asset(self.definition): SimpleNamespace(),
                assets.partitions_asset(self.definition): SimpleNamespace(add_partitions=self.partition_keys.extend),
            },
        }

    def _call(self, task_id: str, **arguments: Any) -> dict[str, Any]:
        pushed: dict[str, Any] = {}
        task = cast(Any, self.dag.get_task(task_id))
        context = self._context(pushed)
        with set_current_context(context):
            try:
                pushed["return_value"] = task.python_callable.__wrapped__(**arguments)
            except DownstreamTasksSkipped as skipped:
                self.skipped = skipped.tasks
        self.outlets[task_id] = [
            asset.uri for asset in (*(() if task.is_mapped else task.outlets), *context["task"].outlets)
        ]
        passed: dict[str, Any] = json.loads(json.dumps(pushed))
        return passed

    def fail(self, task_id: str, error: Exception) -> None:
        """Calls the callbacks that Airflow calls after a task's last attempt has failed."""
        task = cast(Any, self.dag.get_task(task_id))
        callbacks = (task.partial_kwargs if task.is_mapped else vars(task))["on_failure_callback"]
        for callback in callbacks:
            callback({**self._context({}), "exception": error})

    def release(self) -> None:
        """Calls release."""
        self._call("release")

    def of(self, task_id: str, key: str = "return_value") -> Any:
        """Returns an XCom."""
        return self.xcoms[task_id][key]

    def plan(self) -> None:
        """Calls plan."""
        self.xcoms["plan"] = self._call("plan")

    def extract(self) -> None:
        """Calls extract for each group that plan returned."""
        self._mapped("extract", [{"plan": self.of("plan", PLAN), "group": group} for group in self.of("plan")])

    def layout(self) -> None:
        """Calls layout."""
        self.xcoms["layout"] = self._call(
            "layout", plan=self.of("plan", PLAN), cached=self.of("plan", CACHED), partitions=self.of("extract")
        )

    def aggregate(self) -> None:
        """Calls aggregate. A task that skips itself has no XComs, as in Airflow."""
        try:
            self.xcoms["aggregate"] = self._call("aggregate", run=self.of("layout", RUN))
        except AirflowSkipException:
            self.xcoms["aggregate"] = {"return_value": None, USAGE: None, DAMAGE: None}

    def render(self) -> None:
        """Calls render for each group that layout returned, with aggregate's XComs if render depends on it."""
        depends = "aggregate" in self.dag.get_task("render").upstream_task_ids
        summaries, damage = (self.of("aggregate"), self.of("aggregate", DAMAGE)) if depends else (None, None)
        run = self.of("layout", RUN)
        self._mapped(
            "render",
            [{"run": run, "shards": group, "summaries": summaries, "damage": damage} for group in self.of("layout")],
        )

    def publish(self) -> None:
        """Calls publish."""
        usages = [self.of(task, USAGE) for task in ("plan", "extract", "layout", "aggregate", "render")]
        damages = [self.of("aggregate", DAMAGE), self.of("render", DAMAGE)]
        self.xcoms["publish"] = self._call(
            "publish",
            run=self.of("layout", RUN),
            summaries=self.of("aggregate"),
            files=self.of("render"),
            usages=usages,
            damages=damages,
        )

    def _mapped(self, task_id: str, arguments: Sequence[Mapping[str, Any]]) -> None:
        calls = [self._call(task_id, **call_arguments) for call_arguments in arguments]
        self.xcoms[task_id] = {
            key: [call[key] for call in calls if key in call] for key in (*XCOM_KEYS, "return_value")
        }


def task_calls(
    monkeypatch: pytest.MonkeyPatch,
    definition: ReportDefinition,
    conf: dict[str, Any],
    *,
    session: SourceSession,
    store: S3Store,
    build: Callable[[ReportDefinition], DAG] = build_dag,
) -> TaskCalls:
    """Returns a run whose tasks find ``session``'s database and ``store`` in Airflow's connections.

    The run fans out unless ``conf`` contains ``fan_out``; None omits it.
    """
    settings = store.settings
    connection = {
        "conn_type": "aws",
        "login": settings.access_key,
        "password": settings.secret_key,
        "extra": {"endpoint_url": settings.endpoint_url, "region_name": settings.region_name},
    }
    monkeypatch.setenv(connection_variable(STORE_CONNECTION), json.dumps(connection))
    monkeypatch.setenv("QUIRE_BUCKET", store.bucket)
    monkeypatch.setenv(connection_variable(definition.source.connection), session.url)
    return TaskCalls(
        definition, {name: value for name, value in {"fan_out": True, **conf}.items() if value is not None}, build
    )
