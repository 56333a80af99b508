"""The package contains the SQL files that it executes, so it needs no clone, as in a custom Airflow deployment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from quire.settings import CLONE

from tests.postgres.tracking.tables import PARTITIONED, run_sql, tracked_report

pytestmark = pytest.mark.server

COMMANDS = """
import sys
from pathlib import Path
import quire
from quire.report.catalog import find_definition
from quire.postgres.tracking.installation import compact_logs, track
include, url, plugins = sys.argv[1:]
assert Path(quire.__file__).is_relative_to(plugins), quire.__file__
track(find_definition(Path(include), "events"), url)
print(compact_logs({url}))
"""


def test_package_without_the_clone_tracks_and_compacts(tmp_path: Path, fresh_database: str) -> None:
    plugins, include = tmp_path / "plugins", tmp_path / "include"
    shutil.copytree(CLONE / "plugins" / "quire", plugins / "quire", ignore=shutil.ignore_patterns("__pycache__"))
    run_sql(fresh_database, PARTITIONED.format(kind="timestamptz"), "CREATE TABLE kinds (kind text, name text)")
    tracked_report(include)
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMANDS, str(include), fresh_database, str(plugins)],
        env={**os.environ, "PYTHONPATH": str(plugins)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
