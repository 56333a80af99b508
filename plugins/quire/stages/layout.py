"""Layout: which rows go to which workbook, and whether this very run is published already."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from quire.errors import error_context
from quire.object_store import Store
from quire.records.stage_records import RunLayout, RunPlan, StagedPartition
from quire.report.definition import ReportDefinition
from quire.runs.run_key import compute_run_key, is_run_published
from quire.runs.workbook_shards import workbook_shards

logger = logging.getLogger(__name__)

GROUPS = 64  # mapped tasks of one run: each costs Airflow 0.2 to 0.7 s


def layout_run(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: Store
) -> RunLayout:
    """Returns the run's key and its workbooks, in at most 64 groups; no workbooks where it is published already.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
        store: where a manifest would be.

    Raises:
        StoreRefusedError, StoreUnavailableError: the object store cannot be asked.
    """
    run_key = compute_run_key(definition, plan, staged)
    with error_context(report=definition.name):
        if is_run_published(store, definition.name, run_key):
            logger.info("%s: run %s is published already", definition.name, run_key)
            return RunLayout(run_key=run_key, reused=True, groups=())
    shards = workbook_shards(definition, plan, staged)
    size = max(1, math.ceil(len(shards) / GROUPS))
    groups = tuple(shards[first : first + size] for first in range(0, len(shards), size))
    logger.info("%s: run %s, %s workbooks in %s groups", definition.name, run_key, len(shards), len(groups))
    return RunLayout(run_key=run_key, reused=False, groups=groups)
