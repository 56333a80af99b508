"""Checks the running image's user, write permissions and ports, and the Kubernetes pods that Airflow parses."""

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
pods = {}
for name, text in json.load(sys.stdin).items():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        pod = PodGenerator.deserialize_model_file(file.name)
    (base,) = pod.spec.containers
    pods[name] = [pod.spec.service_account_name, base.resources.limits["memory"], len(base.volume_mounts)]
print(json.dumps(pods))
"""


@pytest.fixture(scope="module")
def worker(stack: ContainerStack) -> str:
    """The container that runs a worker."""
    return stack.project.containers("airflow-worker")[0]


def test_tasks_run_as_airflow_and_cannot_change_the_code(worker: str) -> None:
    assert docker("exec", worker, "id", "-u").strip() == "50000"
    attempt = "touch /opt/airflow/plugins/quire/x || touch /opt/airflow/dags/x || touch /opt/airflow/include/x"
    result = subprocess.run(["docker", "exec", worker, "bash", "-c", attempt], capture_output=True, check=False)
    assert result.returncode != 0
    assert docker("exec", worker, "bash", "-c", "command -v gcc cc make || true") == ""


def test_redis_and_postgresql_do_not_run_as_root(stack: ContainerStack) -> None:
    for service, name in (("redis", "redis-server"), ("postgres", "postgres")):
        (container,) = stack.project.containers(service)
        processes = [line.split() for line in docker("top", container, "-eo", "pid,user:20,comm").splitlines()]
        users = {user for _, user, program in processes if program == name}
        assert users
        assert "root" not in users


def test_quire_command_checks_a_report_in_the_image(worker: str) -> None:
    docker("exec", worker, "quire", "check", "flights")


def test_only_pages_and_s3_are_published_on_the_host(stack: ContainerStack) -> None:
    hosts: dict[str, set[str]] = {}
    for service in stack.project.compose("ps", "--services").split():
        for container in stack.project.containers(service):
            ports = stack.project.state(container)["NetworkSettings"]["Ports"]
            for bound in filter(None, ports.values()):
                hosts.setdefault(service, set()).update(entry["HostIp"] for entry in bound)
    assert hosts == {"airflow-apiserver": {"127.0.0.1"}, "seaweedfs": {"127.0.0.1"}}


def test_pod_templates_of_the_stages_are_valid_for_airflow(worker: str) -> None:
    text = (CLONE / "kubernetes" / "values.yaml").read_text().replace("{{ .Release.Name }}", "quire")
    templates = yaml.safe_load(yaml.safe_load(text)["extraConfigMaps"]["quire-stages"]["data"])
    pods = json.loads(docker("exec", "-i", worker, "python", "-c", READ_PODS, input=json.dumps(templates).encode()))
    assert set(pods) == set(templates)
    assert pods["render.yaml"] == ["quire-worker", "1Gi", 2]
    assert pods["aggregate.yaml"] == ["quire-worker", "2Gi", 2]
