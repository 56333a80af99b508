"""If Airflow is too old, the DAGs and the plugin fail with a one-line error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from quire.airflow_api.version import unsupported_airflow
from quire.settings import CLONE

pytestmark = pytest.mark.usefixtures("servers")  # most of these tests import Airflow in a separate process
LINE = "Quire needs Airflow 3.3 or newer, but the installed version is 3.1.8: upgrade Airflow"
OLDER = """
import airflow, airflow.sdk
airflow.__version__ = "3.1.8"
for name in ("ExceptionRetryPolicy", "RetryAction", "RetryRule"):  # not in 3.1 and 3.2
    airflow.sdk.__dict__.pop(name, None)
    for names in ("__lazy_imports", "__all__"):
        exports = getattr(airflow.sdk, names)
        exports.pop(name) if isinstance(exports, dict) else exports.remove(name)
"""


def import_on_older_airflow(module: str, home: Path, *, more: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{OLDER}\nimport {module}\n{more}"],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE / 'dags'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["reports", "housekeeping"])
def test_dags_on_an_older_airflow_fail_with_one_line(module: str, tmp_path: Path) -> None:
    done = import_on_older_airflow(module, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"quire.errors.SettingsError: {LINE}"


def test_plugin_on_an_older_airflow_logs_one_line_and_mounts_nothing(tmp_path: Path) -> None:
    show = "plugin = quire.portal.airflow_plugin.QuirePlugin; print([plugin.fastapi_apps, plugin.external_views])"
    done = import_on_older_airflow("quire.portal.airflow_plugin", tmp_path, more=show)
    assert done.stdout.splitlines()[-1] == "[[], []]"
    assert sum(LINE in line for line in (done.stdout + done.stderr).splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("version", ["3.3.0", "3.3.0rc1", "3.3.2.dev0", "3.10.0", "4.0.0"])
def test_unsupported_airflow_with_a_newer_version_is_none(version: str) -> None:
    assert unsupported_airflow(version) is None


@pytest.mark.parametrize("version", ["2.11.2", "3.0.6", "3.2.9", "unknown"])
def test_unsupported_airflow_with_an_older_version_names_both(version: str) -> None:
    assert (
        unsupported_airflow(version)
        == f"Quire needs Airflow 3.3 or newer, but the installed version is {version}: upgrade Airflow"
    )
