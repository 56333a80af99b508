"""The GitHub Actions workflow runs the commands in .ci/run on every Python version that the package supports."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from quire.settings import CLONE

WORKFLOW = CLONE / ".github" / "workflows" / "ci.yaml"


def jobs() -> dict[str, Any]:
    """Returns the jobs in the workflow."""
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return loaded


def make_targets(text: str) -> set[str]:
    """Returns the targets in a string's make commands."""
    return set(re.findall(r"\bmake ([a-z-]+)", text))


def test_workflow_runs_what_ci_runs_and_only_real_targets() -> None:
    runs = {target for job in jobs().values() for step in job["steps"] for target in make_targets(step.get("run", ""))}
    assert runs == make_targets((CLONE / ".ci" / "run").read_text()) | {"test-fast", "test-lowest", "test-wheel"}
    targets = set(re.findall(r"^([a-z-]+):", (CLONE / "Makefile").read_text(), re.MULTILINE))
    assert runs <= targets


def test_fast_tests_run_on_every_supported_python() -> None:
    supported = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (CLONE / "pyproject.toml").read_text())
    assert supported
    versions = [f"3.{minor}" for minor in range(int(supported[1]), int(supported[2]))]
    assert jobs()["test-fast"]["strategy"]["matrix"]["python-version"] == versions


@pytest.mark.skipif(not shutil.which("actionlint"), reason="actionlint is not installed; the lint job runs it")
def test_actionlint_accepts_the_workflow() -> None:
    done = subprocess.run(["actionlint", WORKFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
