"""A standing Airflow over the flights report and some that are meant to fail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from quire.local_stack.stack import LocalStack
from quire.settings import CLONE

from tests.airflow.portal import ADMIN, OUTSIDER, READER
from tests.events import write_report


@pytest.fixture(scope="session")
def airflow_include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone's include/, with a torn report and one whose database is away."""
    include = tmp_path_factory.mktemp("airflow") / "include"
    shutil.copytree(CLONE / "include", include)
    definition = yaml.safe_load((include / "reports" / "flights.yaml").read_text())
    sql = (include / "sql" / "flights" / "extract.sql").read_text()
    daily = {**definition, "partition": "day", "store_schedule": "0 2 * * *", "schedule": None}
    daily["delivery"] = {"link_ttl": "2s"}
    write_report(include, "daily", daily, sql)
    definition["source"]["connection"] = "away"
    del definition["schedule"]
    write_report(include, "unreachable", definition, sql)
    (include / "reports" / "torn.yaml").write_text("title: Torn\npartition: mnth\n")
    return include


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory, airflow_include: Path) -> Iterator[LocalStack]:
    """A whole stack with a standing scheduler, apart from the servers of the other tests."""
    environment = {
        "QUIRE_INCLUDE": str(airflow_include),
        "AIRFLOW_CONN_AWAY": "postgresql://nobody:s3cr3t%2Fword@127.0.0.1:9/nowhere",
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.airflow.auth_manager.PartialAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{READER}:viewer,{OUTSIDER}:user",
        "PYTHONPATH": str(CLONE),
    }
    stack = LocalStack(tmp_path_factory.mktemp("stack"), fast=True, environment=environment)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def client(running_stack: LocalStack) -> Iterator[httpx.Client]:
    """What asks its API, as the administrator."""
    with running_stack.airflow.client() as client:
        yield client
