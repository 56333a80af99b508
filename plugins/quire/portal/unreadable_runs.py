"""What a list shows of a run whose details cannot be read, so that it does not hide the other runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quire.portal.command_line_runs import CommandLineRun
from quire.portal.run_outcomes import Outcome
from quire.portal.views import RunState, RunView
from quire.urls import run_path

UNREADABLE = "This run cannot be shown. Ask your Airflow administrator."


def unreadable_view(
    report: str, run: Mapping[str, Any] | CommandLineRun, outcomes: Mapping[str, Outcome], base: str
) -> RunView:
    """Returns a run without any of its details.

    Args:
        report: whose run it is.
        run: Airflow's or the command line's.
        outcomes: of Airflow's runs, by id.
        base: what stands before the portal's addresses.
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
