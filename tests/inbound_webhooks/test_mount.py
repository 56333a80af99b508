"""Airflow's API server mounts the webhook app only if there are webhooks, and loads it at the first delivery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from quire.settings import CLONE

from tests.inbound_webhooks.shop import write_webhook

HEAVY = ("starlette", "fastapi", "pydantic", "psycopg", "yaml", "airflow", "anyio")
LOAD = f"""
import json, sys
from quire.portal.webhook_mount import webhook_apps
apps = webhook_apps()
print(json.dumps([[app["url_prefix"] for app in apps], [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def load(include: Path) -> object:
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**os.environ, "PYTHONPATH": str(CLONE / "plugins"), "QUIRE_INCLUDE": str(include)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_plugin_without_webhooks_mounts_no_app(tmp_path: Path) -> None:
    assert load(tmp_path) == [[], []]
    write_webhook(tmp_path)
    assert load(tmp_path) == [["/quire-hooks"], []]
