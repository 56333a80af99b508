"""Runs docker-compose.yaml with three workers, the demo's flights, and reports with five times as many rows."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from quire.dev_stack.ports import free_ports
from quire.settings import CLONE

from tests.container import engine, standins
from tests.container.stack import ContainerStack
from tests.events import write_report

TIMES = 5
WORKERS = 3


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The base images, keyed by the setting that selects each image."""
    reason = engine.missing() or standins.why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("images")
    return {setting: standins.provide(setting, image, folder) for setting, image in standins.base_images().items()}


@pytest.fixture(scope="session")
def stack(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerStack]:
    """The stack with all workers running."""
    folder = tmp_path_factory.mktemp("containers")
    name = f"quire-test-{uuid.uuid4().hex[:8]}"
    settings = write_settings(folder, name, images)
    compose = CLONE / "docker-compose.yaml"
    override = folder / "override.yaml"
    include = write_reports(folder / "include")
    services = ("apiserver", "scheduler", "dag-processor", "triggerer", "worker")
    mounted = {"volumes": [f"{include}:/opt/airflow/include:ro"]}
    override.write_text(yaml.safe_dump({"services": {f"airflow-{service}": mounted for service in services}}))
    project = engine.Project(name, settings, [compose, override])
    running = ContainerStack(project, settings=dict(read_settings(settings)))
    try:
        project.compose("--profile", "demo", "build")
        project.compose("--profile", "demo", "up", "--detach", "--scale", f"airflow-worker={WORKERS}")
        running.wait_until_ready(workers=WORKERS)
        yield running
    finally:
        try:
            (folder / "log").write_text(project.compose("logs", "--no-color"))
        finally:
            project.remove()
        subprocess.run(["docker", "rmi", f"{name}:test", f"{name}-demo:test"], capture_output=True, check=False)


def write_settings(folder: Path, name: str, images: Mapping[str, str]) -> Path:
    """Writes the file .env with the clone's script, and sets this project's ports and images in it."""
    clone = folder / "clone"
    (clone / "containers").mkdir(parents=True)
    for file in ("containers/new-secrets.sh", ".env.example"):
        (clone / file).write_bytes((CLONE / file).read_bytes())
    subprocess.run(["sh", clone / "containers" / "new-secrets.sh"], check=True, capture_output=True)
    airflow, s3 = free_ports(None, None)
    changes = {
        "AIRFLOW_PORT": airflow,
        "AIRFLOW_PUBLIC_URL": f"http://localhost:{airflow}",
        "S3_PORT": s3,
        "S3_PUBLIC_URL_ENCODED": f"http%3A%2F%2Flocalhost%3A{s3}",
        "QUIRE_IMAGE": f"{name}:test",
        "QUIRE_DEMO_IMAGE": f"{name}-demo:test",
        **images,
    }
    path = clone / ".env"
    unchanged = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in changes]
    path.write_text(
        "".join(f"{line}\n" for line in [*unchanged, *(f"{key}={value}" for key, value in changes.items())])
    )
    return path


def read_settings(path: Path) -> list[tuple[str, str]]:
    """Returns the settings in an environment file."""
    return re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE)


def write_reports(include: Path) -> Path:
    """Copies the clone's reports, and adds reports whose only workbook has many rows and is slow to render."""
    shutil.copytree(CLONE / "include", include)
    flights = yaml.safe_load((include / "reports" / "flights.yaml").read_text())
    sql = (include / "sql" / "flights" / "extract.sql").read_text()
    many = {**flights, "workbook": {"split": "none"}, "summaries": []}
    del many["schedule"]
    many["source"] = {"sql": "many/extract.sql", "time_column": "scheduled_departure"}
    names = [column["name"] for column in many["columns"]]
    body = re.sub(r"ORDER BY.*", "", sql, flags=re.DOTALL).rstrip().rstrip(";")
    order = ", ".join(["scheduled_departure", "carrier", "flight", "copy"])
    repeated = (
        f"SELECT {', '.join(names)}, copy FROM ({body}) AS once, generate_series(1, {TIMES}) AS copy ORDER BY {order}"
    )
    many["columns"] = [*many["columns"], {"name": "copy"}]
    for name, fan_out in (("many", "always"), ("single_task", "10m")):  # 10 min is more than the estimate
        write_report(include, name, {**many, "fan_out": fan_out}, f"{repeated}\n")
    return include
