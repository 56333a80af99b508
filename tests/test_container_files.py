"""Checks the compose files for limits, logs, published ports and secrets, without running containers."""

from __future__ import annotations

import re
import stat
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from quire.dev_stack.s3_server import SIGNING_KEYS
from quire.settings import CLONE

STACKS = ("docker-compose.yaml", "docker-compose.own.yaml")
SECRETS = re.compile(r"PASSWORD|SECRET|FERNET_KEY|ACCESS_KEY$|SIGNING")
ONCE = ("airflow-init", "demo")


@cache
def services(name: str) -> dict[str, dict[str, Any]]:
    """Returns the services in a compose file, each merged with the service that it extends."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load((CLONE / name).read_text())["services"]
    for service, own in entries.items():
        if extended := own.get("extends"):
            base = services(extended["file"])[extended["service"]]
            entries[service] = {**base, **own, "environment": base["environment"] | own.get("environment", {})}
    return entries


@pytest.mark.parametrize("name", STACKS)
def test_services_have_limits_and_restart(name: str) -> None:
    for service, entry in services(name).items():
        assert entry["mem_limit"], service
        assert entry["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, service
        assert entry["restart"] == ("on-failure" if service in ONCE else "unless-stopped"), service
        assert entry["security_opt"] == ["no-new-privileges:true"], service
        assert ("healthcheck" in entry) == (service not in ONCE), service


@pytest.mark.parametrize("name", STACKS)
def test_services_wait_for_their_dependencies(name: str) -> None:
    entries = services(name)
    for service in entries:
        if service.startswith("airflow-") and service != "airflow-init":
            needed = entries[service]["depends_on"]
            assert needed["airflow-init"] == {"condition": "service_completed_successfully"}
            assert needed["redis"] == {"condition": "service_healthy"}
    assert entries["airflow-worker"]["depends_on"]["airflow-apiserver"] == {"condition": "service_healthy"}


def test_only_pages_and_s3_are_published_on_loopback() -> None:
    published = {name: entry["ports"] for name, entry in services("docker-compose.yaml").items() if "ports" in entry}
    assert set(published) == {"airflow-apiserver", "seaweedfs"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", [*STACKS, "containers/airflow.yaml", "containers/redis.yaml"])
def test_secrets_come_from_the_environment_file(name: str) -> None:
    for service, entry in services(name).items():
        for variable, value in entry.get("environment", {}).items():
            if SECRETS.search(variable) and variable != "AWS_ACCESS_KEY_ID":
                assert re.fullmatch(r"\$\{\w+(:\?run make \.env)?\}", str(value)), (service, variable)
    text = (CLONE / name).read_text()
    assert re.findall(r"://[^:/\s]*:(?!\$\{)[^@\s]+@", re.sub(r"#.*", "", text)) == []  # URLs contain no passwords
    assert not re.search(r"\$\{[^}]*\$\{", text)  # some versions of docker-compose do not support nested variables


def test_settings_of_every_file_are_in_the_example() -> None:
    named = set(re.findall(r"^(\w+)=", (CLONE / ".env.example").read_text(), re.MULTILINE))
    required = {
        variable
        for name in ("docker-compose.yaml", "containers/airflow.yaml", "containers/redis.yaml")
        for variable in re.findall(r"\$\{(\w+):\?", (CLONE / name).read_text())
    }
    assert required <= named


def test_new_secrets_are_random_private_and_never_replaced(tmp_path: Path) -> None:
    made = [make_settings(tmp_path / name) for name in ("first", "second")]
    first, second = ({key: value for key, value in settings.items() if SECRETS.search(key)} for settings in made)
    assert len(first) >= 8
    assert len(set(first.values()) | set(second.values())) == 2 * len(first)
    assert all(len(value) >= 30 for value in first.values())
    assert "GENERATED" not in made[0]["QUIRE_SOURCE"]
    path = tmp_path / "first" / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = subprocess.run(["sh", path.parent / "containers" / "new-secrets.sh"], capture_output=True, check=False)
    assert (again.returncode, b"there is an .env already" in again.stderr) == (1, True)


def make_settings(clone: Path) -> dict[str, str]:
    (clone / "containers").mkdir(parents=True)
    for file in ("containers/new-secrets.sh", ".env.example"):
        (clone / file).write_bytes((CLONE / file).read_bytes())
    subprocess.run(["sh", clone / "containers" / "new-secrets.sh"], check=True, capture_output=True)
    return dict(re.findall(r"^(\w+)=(.*)$", (clone / ".env").read_text(), re.MULTILINE))


def test_secrets_missing_in_an_older_file_are_added(tmp_path: Path) -> None:
    made = make_settings(tmp_path)
    path, script = tmp_path / ".env", tmp_path / "containers" / "new-secrets.sh"
    older = "".join(f"{key}={value}\n" for key, value in made.items() if not key.startswith("S3_FILER"))
    path.write_text(older.rstrip("\n"))
    added = subprocess.run(["sh", script, "add"], capture_output=True, text=True, check=True).stdout
    assert added == "added S3_FILER_SECRET\nadded S3_FILER_READ_SECRET\n"
    text = path.read_text()
    assert text.startswith(older)
    more = dict(re.findall(r"^(\w+)=(.{30,})$", text.removeprefix(older), re.MULTILINE))
    assert set(more) == {"S3_FILER_SECRET", "S3_FILER_READ_SECRET"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert subprocess.run(["sh", script, "add"], capture_output=True, text=True, check=True).stdout == ""
    assert path.read_text() == text


def test_store_requires_a_token_of_every_inner_request() -> None:
    store = services("docker-compose.yaml")["seaweedfs"]
    keys = {store["environment"][f"WEED_JWT_{name}_KEY"] for name in SIGNING_KEYS}
    assert len(keys) == len(SIGNING_KEYS)
    assert "-disableHttp" in store["command"]
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"} <= set(store["command"])


@pytest.mark.parametrize("name", STACKS)
def test_owner_connection_is_set_only_where_logs_are_compacted(name: str) -> None:
    owners = {
        service for service, entry in services(name).items() if "AIRFLOW_CONN_QUIRE_OWNER" in entry["environment"]
    }
    assert owners - {"demo"} == {"airflow-worker"}


def test_build_context_contains_only_what_the_image_copies() -> None:
    rules = (CLONE / ".dockerignore").read_text().splitlines()
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", (CLONE / "Dockerfile").read_text(), re.MULTILINE)
        for source in line.split()
    }
    assert "*" in rules
    assert sent == copied
