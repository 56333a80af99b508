"""Checks Airflow's version without importing Airflow, because older versions lack objects that Quire imports."""

from __future__ import annotations

import re

from quire.errors import SettingsError

MIN_AIRFLOW = (3, 3)


def unsupported_airflow(version: str) -> str | None:
    """Returns why Quire does not support an Airflow version, or None if Quire supports it."""
    numbers = re.match(r"(\d{1,9})\.(\d{1,9})", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= MIN_AIRFLOW:
        return None
    minimum = ".".join(map(str, MIN_AIRFLOW))
    return f"Quire needs Airflow {minimum} or newer, but the installed version is {version}: upgrade Airflow"


def ensure_supported_airflow(version: str) -> None:
    """Checks that Quire supports an Airflow version.

    Raises:
        SettingsError: the version is too old.
    """
    if reason := unsupported_airflow(version):
        raise SettingsError(reason)
