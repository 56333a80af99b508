"""Adds a link to the portal's run page on Airflow's pages, and records why a task failed."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink, Context
from airflow.sdk.configuration import conf

from quire.errors import ReportError
from quire.portal_urls import run_path

FAILURE = "failure"
FAILURE_KIND = "failure_kind"  # the error's class name in quire.errors
MAX_REASON_LOOKUPS = 20  # maximum number of failed tasks to read, because thousands can fail for the same reason


def base_url() -> str:
    """Returns the URL at which readers reach Airflow, or an empty string if ``[api] base_url`` is not set."""
    return (conf.get("api", "base_url", fallback="") or "").rstrip("/")


class RunPageLink(BaseOperatorLink):
    """The "Report" link on a publish task.

    It opens the run's page rather than a file, because Airflow stores the link and presigned URLs expire.
    """

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Returns the URL of the run's page."""
        return f"{base_url()}{run_path(ti_key.dag_id, ti_key.run_id)}"


def push_failure(context: Context) -> None:
    """Pushes the reason that a task failed: a ReportError's message, or any other error's type.

    Airflow calls this function after each failed attempt, whether or not it retries the task.
    """
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # the module does not export it

    error = context.get("exception")
    if error is not None:
        is_translated = isinstance(error, ReportError)
        reason = str(error) if is_translated else f"Unexpected error ({type(error).__name__}): see Airflow's log."
        context["ti"].xcom_push(FAILURE, redact(reason))
        kind = next((kind for kind in type(error).__mro__ if kind.__module__ == ReportError.__module__), type(error))
        context["ti"].xcom_push(FAILURE_KIND, kind.__name__)
