"""Checks Airflow's version. Does not import Airflow, because older versions lack what Quire imports."""

from __future__ import annotations

import re

from quire.errors import SettingsError

MIN_AIRFLOW = (3, 3)


def unsupported_airflow(version: str) -> str | None:
    """Returns why Quire does not support this version of Airflow, or None if it does."""
    numbers = re.match(r"(\d{1,9})\.(\d{1,9})", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= MIN_AIRFLOW:
        return None
    return f"Quire needs Airflow {MIN_AIRFLOW[0]}.{MIN_AIRFLOW[1]} or newer, and this is {version}: upgrade Airflow"


def ensure_supported_airflow(version: str) -> None:
    """Checks that Quire runs on this version of Airflow.

    Raises:
        SettingsError: the version is older.
    """
    if reason := unsupported_airflow(version):
        raise SettingsError(reason)
