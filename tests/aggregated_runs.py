"""Prepares runs for the render and publish stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from quire.object_store.s3_store import S3Store
from quire.partition_cache.cache import merge_partitions
from quire.record_types.manifest import PublishedRun
from quire.record_types.stage_records import RenderedFile, StagedRun, StagedSummary, WorkbookShard
from quire.report.definition import ReportDefinition
from quire.stages.aggregate import aggregate_summaries
from quire.stages.extract import extract_partitions
from quire.stages.layout import layout_run
from quire.stages.plan import plan_partitions
from quire.stages.publish import publish_run
from quire.stages.render import render_workbooks

from tests.events import request_of, session_of


@dataclass(frozen=True)
class AggregatedRun:
    """A run with its summaries, ready for the render stage."""

    definition: ReportDefinition
    run: StagedRun
    summaries: tuple[StagedSummary, ...]
    shards: tuple[WorkbookShard, ...]
    store: S3Store

    def with_changes(self, **changes: Any) -> AggregatedRun:
        """Returns a copy with the given changes to the staged run."""
        return replace(self, run=replace(self.run, **changes))

    def render(self) -> tuple[RenderedFile, ...]:
        return render_workbooks(self.definition, self.run, self.shards, summaries=self.summaries, store=self.store)

    def publish(self, files: Sequence[RenderedFile], url: str, **options: Any) -> PublishedRun:
        return publish_run(
            self.definition, self.run, self.summaries, files=files, session=session_of(url), store=self.store, **options
        )


def aggregate_run(definition: ReportDefinition, url: str, store: S3Store, *, run_id: str = "r") -> AggregatedRun:
    """Runs all stages before render."""
    session = session_of(url)
    planned = plan_partitions(definition, request_of(definition, run_id="r"), session=session, store=store)
    missing = [partition for group in planned.groups for partition in group]
    extracted = extract_partitions(definition, planned.plan, missing, session=session, store=store)
    partitions = merge_partitions(definition, planned.plan, (*planned.cached, *extracted))
    laid_out = layout_run(definition, planned.plan, partitions, store=store)
    summaries: tuple[StagedSummary, ...] = ()
    if not laid_out.run.layout.already_published:
        summaries = aggregate_summaries(definition, planned.plan, partitions, store=store)
    plan = replace(planned.plan, request=replace(planned.plan.request, run_id=run_id))  # another run with the same rows
    shards = tuple(shard for group in laid_out.groups for shard in group)
    return AggregatedRun(definition, replace(laid_out.run, plan=plan), summaries, shards, store)
