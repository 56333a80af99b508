"""The portal's addresses. They stay: people keep them, and whoever follows one is checked anew.

PREFIX/                                             the reports that one may see
PREFIX/reports/REPORT                               a report: its form and its runs
PREFIX/reports/REPORT/runs/RUN_ID                   one of Airflow's runs
PREFIX/reports/REPORT/published/RUN_KEY/FILE        a file; redirects to a link that was signed that moment
PREFIX/reports/REPORT/published/RUN_KEY.zip         all files of a published run
"""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "/quire"


def report_path(report: str) -> str:
    """Returns the path of a report's page, below the address that Airflow has for its readers."""
    return f"{PREFIX}/reports/{quote(report, safe='')}"


def run_path(report: str, run_id: str) -> str:
    """Returns the path of the page of one of Airflow's runs, by its ``dag_run_id``."""
    return f"{report_path(report)}/runs/{quote(run_id, safe='')}"


def file_path(report: str, run_key: str, name: str) -> str:
    """Returns the path of a published file."""
    return f"{report_path(report)}/published/{run_key}/{quote(name, safe='')}"


def archive_path(report: str, run_key: str) -> str:
    """Returns the path of all files of a published run in one zip."""
    return f"{report_path(report)}/published/{run_key}.zip"
