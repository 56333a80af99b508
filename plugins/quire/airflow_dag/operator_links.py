"""Adds to Airflow's own pages a link to the run's page in the portal, and the reason of a failed task."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink, Context
from airflow.sdk.configuration import conf

from quire.errors import ReportError
from quire.urls import run_path

FAILURE = "failure"
FAILURE_KIND = "failure_kind"  # the name of the error's class in quire.errors
MAX_ASKED = 20  # failed tasks to search for a reason: thousands may have failed for the same one


def base_url() -> str:
    """Returns the address at which readers find Airflow; nothing where it was not told its own."""
    return (conf.get("api", "base_url", fallback="") or "").rstrip("/")


class RunPageLink(BaseOperatorLink):
    """The link "Report" of publish. It leads to the run's page, because Airflow stores it and presigned URLs expire."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Returns the address of the run's page."""
        return f"{base_url()}{run_path(ti_key.dag_id, ti_key.run_id)}"


def tell_failure(context: Context) -> None:
    """Pushes why a task has failed, for good or until it is tried again, in the words of its error.

    Of others' errors it only says that they were unexpected.
    """
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # beside mask_secret, which is exported

    error = context.get("exception")
    if error is not None:
        known = isinstance(error, ReportError)
        reason = str(error) if known else f"Something unexpected happened ({type(error).__name__}): see Airflow's log."
        context["ti"].xcom_push(FAILURE, redact(reason))
        kind = next((kind for kind in type(error).__mro__ if kind.__module__ == ReportError.__module__), type(error))
        context["ti"].xcom_push(FAILURE_KIND, kind.__name__)
