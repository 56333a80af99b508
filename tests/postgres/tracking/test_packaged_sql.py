"""The wheel and the folder plugins/ contain the SQL files, so tracking and webhooks work without a clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from quire.settings import CLONE

from tests.events import TABLE as EVENTS_TABLE
from tests.inbound_webhooks.shop import TABLE as ORDERS_TABLE
from tests.inbound_webhooks.shop import write_webhook
from tests.postgres.tracking.tables import run_sql, tracked_report

pytestmark = pytest.mark.server

PROGRAM = """
import sys
from pathlib import Path
import quire
from quire.report.catalog import find_definition
from quire.postgres.tracking.installation import compact, track, untrack
from quire.inbound_webhooks.delivery_tables import install_tables
from quire.inbound_webhooks.webhook_files import find_webhook
include, url = Path(sys.argv[1]), sys.argv[2]
print(Path(quire.__file__).parents[1])
definition = find_definition(include, "events")
print(len(track(definition, url)), compact(url), len(untrack("events", url)))
print(install_tables(find_webhook(include, "orders"), writer_url=url, owner_url=url))
"""


@pytest.fixture(params=["wheel", "plugins"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that contains only the package, from a wheel or from plugins/."""
    folder = tmp_path / "elsewhere"
    if request.param == "plugins":
        shutil.copytree(CLONE / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "dist")]
    subprocess.run(command, cwd=CLONE, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_tracking_and_webhooks_without_a_clone_find_their_sql(
    tmp_path: Path, package: Path, fresh_database: str
) -> None:
    run_sql(fresh_database, EVENTS_TABLE, ORDERS_TABLE)
    include = tmp_path / "include"
    tracked_report(include)
    write_webhook(include)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(include), fresh_database],
        env={"PYTHONPATH": str(package)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [str(package), "1 0 1", "orders: installed"]
