"""kubernetes/values.yaml is valid YAML with a pod for each stage and no secrets; no test renders the chart with it."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import yaml
from quire.report.definition import StageName
from quire.settings import CLONE

STAGES = get_args(StageName)
BYTES = {"Mi": 2**20, "Gi": 2**30}
BUDGET = 400 * 2**20  # per task
# The values that the chart accepts; it rejects all others.
KNOWN = {
    "executor", "airflowVersion", "defaultAirflowRepository", "defaultAirflowTag", "postgresql", "redis", "data",
    "fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName", "createUserJob", "config", "extraEnvFrom", "env",
    "workers", "apiServer", "scheduler", "dagProcessor", "triggerer", "extraConfigMaps",
}  # fmt: skip


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    text = (CLONE / "kubernetes" / "values.yaml").read_text().replace("{{ .Release.Name }}", "quire")
    assert "{{" not in text
    values: dict[str, Any] = yaml.safe_load(text)
    return values


@pytest.fixture(scope="module")
def pods(values: dict[str, Any]) -> dict[str, Any]:
    """Each stage's pod template, from the folder that the scheduler mounts."""
    files = yaml.safe_load(values["extraConfigMaps"]["quire-stages"]["data"])
    return {name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def size(text: str) -> int:
    return int(text[:-2]) * BYTES[text[-2:]]


def test_values_are_known_to_the_chart_and_match_the_airflow_image(values: dict[str, Any]) -> None:
    assert set(values) <= KNOWN
    from_image = re.search(r"apache/airflow:([\d.]+)-", (CLONE / "Dockerfile").read_text())
    assert from_image
    assert values["airflowVersion"] == from_image[1]
    assert values["executor"] == "KubernetesExecutor"


def test_stages_have_pods_with_enough_memory_for_a_task(pods: dict[str, Any]) -> None:
    assert set(pods) == {*STAGES, "compact"}
    for pod in pods.values():
        resources = container(pod)["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]  # all memory is reserved
        assert size(resources["limits"]["memory"]) > 1.5 * BUDGET
    memory = {stage: size(container(pod)["resources"]["limits"]["memory"]) for stage, pod in pods.items()}
    assert memory["aggregate"] >= 2 * 2**30
    assert memory["publish"] == max(memory.values())  # publish repeats a run with damaged objects, in all its stages


def test_pods_match_those_of_airflow_without_its_permissions(values: dict[str, Any], pods: dict[str, Any]) -> None:
    for pod in pods.values():
        spec, base = pod["spec"], container(pod)
        assert (pod["kind"], base["name"], spec["restartPolicy"]) == ("Pod", "base", "Never")
        assert spec["serviceAccountName"] == values["workers"]["serviceAccount"]["name"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert base["securityContext"]["allowPrivilegeEscalation"] is False
        assert {mount["name"] for mount in base["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_pod_templates_are_where_the_tasks_expect_them(values: dict[str, Any], pods: dict[str, Any]) -> None:
    named = {entry["name"]: entry["value"] for entry in values["env"]}
    (mount,) = values["scheduler"]["extraVolumeMounts"]
    assert named["QUIRE_POD_TEMPLATES"] == mount["mountPath"]
    (volume,) = values["scheduler"]["extraVolumes"]
    assert f"{volume['configMap']['name']}" in values["extraConfigMaps"]
    for pod in pods.values():
        own = {entry["name"]: entry.get("value") for entry in container(pod)["env"]}
        assert own | named == own  # a task's process rereads the definition, so it needs the same environment


def test_secrets_are_referenced_and_not_included(values: dict[str, Any], pods: dict[str, Any]) -> None:
    assert {values[f"{name}SecretName"] for name in ("fernetKey", "apiSecretKey")} == {values["jwtSecretName"]}
    for pod in pods.values():
        (key,) = (entry for entry in container(pod)["env"] if entry["name"].endswith("FERNET_KEY"))
        assert key["valueFrom"]["secretKeyRef"]["name"] == values["fernetKeySecretName"]
        shared = yaml.safe_load(values["extraEnvFrom"])
        assert container(pod)["envFrom"][: len(shared)] == shared


def test_owner_connection_is_only_in_the_compact_pod(values: dict[str, Any], pods: dict[str, Any]) -> None:
    pods_with_owner = {name for name, pod in pods.items() if "quire-owner" in str(container(pod)["envFrom"])}
    assert pods_with_owner == {"compact"}
    assert "quire-owner" not in values["extraEnvFrom"]
