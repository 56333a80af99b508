"""Shows runs whose details cannot be loaded, so that the rest of the list remains visible."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quire.portal.command_line_runs import CommandLineRun
from quire.portal.run_outcomes import RunOutcome
from quire.portal.views import RunState, RunView
from quire.portal_urls import run_path

UNREADABLE = "This run cannot be displayed. Contact your Airflow administrator."


def unreadable_view(
    report: str, run: Mapping[str, Any] | CommandLineRun, outcomes: Mapping[str, RunOutcome], *, base: str
) -> RunView:
    """Returns a view of a run without details.

    Args:
        report: the report's name.
        run: an Airflow run or a command-line run.
        outcomes: Airflow run outcomes, by run ID.
        base: Airflow's URL path prefix.
    """
    state: RunState
    if isinstance(run, CommandLineRun):
        run_id, state, asked_at = run.run_id, "done", run.made_at
    else:
        run_id = str(run["dag_run_id"])
        state, asked_at = outcomes[run_id].state, datetime.fromisoformat(run["run_after"])
    return RunView(
        run_id=run_id,
        report=report,
        state=state,
        start=None,
        end=None,
        parameters={},
        formats=[],
        asked_by=None,
        asked_at=asked_at,
        began_at=None,
        ended_at=None,
        error=UNREADABLE,
        explanation=UNREADABLE,
        url=f"{base}{run_path(report, run_id)}",
    )
