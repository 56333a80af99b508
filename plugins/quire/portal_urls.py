"""Builds the portal's URL paths, which must not change because readers bookmark them. Every request is authorized.

PREFIX/                                             the reports that a reader has access to
PREFIX/reports/REPORT                               a report's form and runs
PREFIX/reports/REPORT/runs/RUN_ID                   an Airflow run
PREFIX/reports/REPORT/published/RUN_KEY/FILE        a file; redirects to a new presigned URL
PREFIX/reports/REPORT/published/RUN_KEY.zip         a zip of all files from a published run
"""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "/quire"


def report_path(report: str) -> str:
    """Returns the path to a report's page, relative to Airflow's base URL."""
    return f"{PREFIX}/reports/{quote(report, safe='')}"


def run_path(report: str, run_id: str) -> str:
    """Returns the path to a run's page; ``run_id`` is the ``dag_run_id`` in Airflow."""
    return f"{report_path(report)}/runs/{quote(run_id, safe='')}"


def file_path(report: str, run_key: str, name: str) -> str:
    """Returns the path to a published file."""
    return f"{report_path(report)}/published/{run_key}/{quote(name, safe='')}"


def archive_path(report: str, run_key: str) -> str:
    """Returns the path to a zip of all files from a published run."""
    return f"{report_path(report)}/published/{run_key}.zip"
