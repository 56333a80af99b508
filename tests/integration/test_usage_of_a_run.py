"""The output of ``quire run --json`` and the manifest contain each stage's resource usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from quire.object_store.s3_store import S3Store
from quire.settings import CLONE

pytestmark = pytest.mark.server

STAGES = ["plan", "extract", "layout", "aggregate", "render", "publish"]


def test_run_records_usage_of_each_stage_in_json_and_manifest(
    quire_environment: dict[str, str], bucket: S3Store
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quire", "run", "flights", "--start", "2013-01-01", "--end", "2013-03-31", "--json"],
        env={**os.environ, "PYTHONPATH": str(CLONE / "plugins"), **quire_environment},
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    usage = {task["stage"]: task for task in result["usage"]}
    assert list(usage) == STAGES
    for name, task in usage.items():
        assert task["task"] == "2013-01-01 to 2013-03-31"
        assert task["seconds"] == result["seconds"][name] >= 0
        assert 0 <= task["cpu_seconds"] <= result["seconds"]["total"] * (os.cpu_count() or 1)
        assert 30e6 < task["peak_rss_bytes"] <= result["peak_rss_bytes"]
    assert (usage["extract"]["rows"], usage["extract"]["units"]) == (result["rows"], 3)
    assert usage["extract"]["bytes"] == sum(part["bytes"] for part in result["partitions"])
    assert (usage["render"]["rows"], usage["render"]["units"]) == (result["rows"], 3)
    assert usage["render"]["bytes"] == sum(file["bytes"] for file in result["files"] if not file["is_summary"])
    assert usage["aggregate"]["rows"] == sum(summary["rows"] for summary in result["summaries"])
    statements = usage["extract"]["statements"]
    (row_query,) = [statement for statement in statements if statement["rows"] == result["rows"]]
    assert (row_query["calls"], "2013" in row_query["sql"]) == (3, False)
    resolving = [statement for statement in statements if statement["sql"].startswith("SELECT position, relation")]
    assert [statement["calls"] for statement in resolving] == [6]  # before and after each partition is read
    others = [statement for statement in statements if statement not in resolving]
    assert all(statement["calls"] <= 3 for statement in others), others
    assert all(statement["milliseconds"] > 0 for statement in statements)
    manifest: Any = bucket.read_json(f"reports/flights/{result['run']}/manifest.json")
    # publish records its usage while it is still running
    assert [task["stage"] for task in manifest["usage"]] == STAGES
    assert manifest["usage"][:-1] == result["usage"][:-1]
