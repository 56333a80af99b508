"""Airflow registers the plugin once, whether the plugin is in an installed wheel, in a plugins folder or in both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quire.settings import CLONE

from tests.packaging.wheels import build_wheel, unpack

pytestmark = pytest.mark.usefixtures("servers")  # each test starts a process that loads Airflow's plugins

PROGRAM = """
import importlib.metadata, json, sys

def hide_quire_elsewhere(finder, folder):
    find = finder.find_distributions
    finder.find_distributions = staticmethod(lambda context=importlib.metadata.DistributionFinder.Context(): [
        distribution for distribution in find(context)
        if distribution.metadata["Name"] != "quire" or str(distribution.locate_file("")) == folder
    ])

hide_quire_elsewhere(importlib.metadata.MetadataPathFinder, sys.argv[1])
try:
    import importlib_metadata  # Airflow reads entry points with it before Python 3.12
except ImportError:
    pass
else:
    hide_quire_elsewhere(importlib_metadata.MetadataPathFinder, sys.argv[1])

from airflow import plugins_manager
info = plugins_manager.get_plugin_info(["name", "source"])
print(json.dumps({
    "prefixes": [app["url_prefix"] for app in plugins_manager.get_fastapi_plugins()[0]],
    "sources": [str(plugin["source"]) for plugin in info if plugin["name"] == "quire"],
    "errors": plugins_manager.get_import_errors(),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    return unpack(build_wheel(folder / "dist"), folder / "site-packages")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A copy of the clone's plugins folder."""
    folder = tmp_path / "plugins"
    shutil.copytree(CLONE / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__", "dev_stack"))
    return folder


def registered(home: Path, *, plugins: Path, path: Path) -> dict[str, Any]:
    """Returns the plugins that Airflow registers; Quire may be in the plugins folder, in ``path``, or in both."""
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(path)],
        env={
            **os.environ,
            "PYTHONPATH": str(path),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "already registered" not in done.stderr + done.stdout
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def test_plugin_of_the_wheel_is_registered_by_its_entry_point(tmp_path: Path, installed: Path) -> None:
    facts = registered(tmp_path / "home", plugins=tmp_path / "none", path=installed)
    assert (facts["prefixes"], facts["errors"]) == (["/quire"], {})
    assert facts["sources"][0].startswith("quire==")


def test_plugin_of_a_plugins_folder_is_registered_by_its_file(tmp_path: Path, plugins: Path) -> None:
    facts = registered(tmp_path / "home", plugins=plugins, path=plugins)
    assert facts == {"prefixes": ["/quire"], "sources": ["$PLUGINS_FOLDER/quire_plugin.py"], "errors": {}}


def test_plugin_of_a_wheel_and_a_plugins_folder_is_registered_once(
    tmp_path: Path, installed: Path, plugins: Path
) -> None:
    facts = registered(tmp_path / "home", plugins=plugins, path=installed)
    assert (facts["prefixes"], facts["errors"]) == (["/quire"], {})
    (source,) = facts["sources"]
    assert source.startswith("quire==")
