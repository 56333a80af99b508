"""Registers the plugin from the plugins folder of a clone or an image, unless an installed package registers it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution


def _is_registered() -> bool:
    """Returns whether Airflow loads the plugin through an installed package's entry point."""
    try:
        installed = distribution("quire").entry_points
    except PackageNotFoundError:
        return False
    return bool(installed.select(group="airflow.plugins"))


if not _is_registered():
    from quire.portal.airflow_plugin import QuirePlugin as QuirePlugin
