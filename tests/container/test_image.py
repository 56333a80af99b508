"""The image as it runs: as whom, what it may write, what it publishes, and Kubernetes' pods as Airflow reads them."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml
from quire.settings import CLONE

from tests.container.engine import docker
from tests.container.stack import ContainerStack

pytestmark = pytest.mark.container
READ_PODS = """
import json, sys, tempfile
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
found = {}
for name, text in json.load(sys.stdin).items():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        pod = PodGenerator.deserialize_model_file(file.name)
    (base,) = pod.spec.containers
    found[name] = [pod.spec.service_account_name, base.resources.limits["memory"], len(base.volume_mounts)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def worker(stack: ContainerStack) -> str:
    """A worker's container."""
    return stack.project.containers("airflow-worker")[0]


def test_tasks_run_as_airflow_and_cannot_change_what_runs_next(worker: str) -> None:
    assert docker("exec", worker, "id", "-u").strip() == "50000"
    attempt = "touch /opt/airflow/plugins/quire/x || touch /opt/airflow/dags/x || touch /opt/airflow/include/x"
    tried = subprocess.run(["docker", "exec", worker, "bash", "-c", attempt], capture_output=True, check=False)
    assert tried.returncode != 0
    assert docker("exec", worker, "bash", "-c", "command -v gcc cc make || true") == ""


def test_redis_and_postgresql_do_not_run_as_root(stack: ContainerStack) -> None:
    for service, name in (("redis", "redis-server"), ("postgres", "postgres")):
        (container,) = stack.project.containers(service)
        processes = [line.split() for line in docker("top", container, "-eo", "pid,user:20,comm").splitlines()]
        found = {user for _, user, program in processes if program == name}
        assert found
        assert "root" not in found


def test_quire_command_checks_a_report_in_the_image(worker: str) -> None:
    docker("exec", worker, "quire", "check", "flights")


def test_pages_and_s3_alone_can_be_reached_from_outside(stack: ContainerStack) -> None:
    hosts: dict[str, set[str]] = {}
    for service in stack.project.compose("ps", "--services").split():
        for container in stack.project.containers(service):
            ports = stack.project.state(container)["NetworkSettings"]["Ports"]
            for bound in filter(None, ports.values()):
                hosts.setdefault(service, set()).update(entry["HostIp"] for entry in bound)
    assert hosts == {"airflow-apiserver": {"127.0.0.1"}, "seaweedfs": {"127.0.0.1"}}


def test_pods_of_the_stages_are_read_by_airflows_own_generator(worker: str) -> None:
    text = (CLONE / "kubernetes" / "values.yaml").read_text().replace("{{ .Release.Name }}", "quire")
    templates = yaml.safe_load(yaml.safe_load(text)["extraConfigMaps"]["quire-stages"]["data"])
    found = json.loads(docker("exec", "-i", worker, "python", "-c", READ_PODS, input=json.dumps(templates).encode()))
    assert set(found) == set(templates)
    assert found["render.yaml"] == ["quire-worker", "1Gi", 2]
    assert found["aggregate.yaml"] == ["quire-worker", "2Gi", 2]
