"""Runs Docker commands, and the project in docker-compose.yaml with separate names, ports and secrets."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quire.settings import CLONE


def missing() -> str | None:
    """Returns the reason why the container tests cannot run, or None."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if _compose() is None:
        return "there is neither docker compose nor docker-compose"
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return f"the Docker engine is unavailable: {answer.stderr.strip()}" if answer.returncode else None


def docker(*arguments: str, **options: Any) -> str:
    """Runs a docker command and returns its output."""
    return _run(["docker", *arguments], **options)


def has_image(name: str) -> bool:
    """Returns whether the Docker engine has an image."""
    return not subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode


def label_of(image: str, label: str) -> str:
    """Returns the value of an image's label."""
    return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', image).strip()


class Project:
    """The containers that docker-compose.yaml defines, under a project name.

    Args:
        name: the project name.
        environment_file: the file that replaces .env.
        files: the compose files; each file overrides the preceding files.
    """

    def __init__(self, name: str, environment_file: Path, files: Sequence[Path]) -> None:
        self.name, self.environment_file = name, environment_file
        named = [part for file in files for part in ("--file", str(file))]
        program = _compose()
        assert program is not None
        self._command = [
            *program, "--project-name", name, "--project-directory", str(CLONE),
            "--env-file", str(environment_file), *named,
        ]  # fmt: skip

    @property
    def network(self) -> str:
        """The name of the network that connects all containers."""
        return f"{self.name}_default"

    def compose(self, *arguments: str) -> str:
        """Runs a compose command and returns its output."""
        return _run([*self._command, *arguments])

    def containers(self, service: str, *, every: bool = False) -> list[str]:
        """Returns the IDs of a service's running containers; with ``every``, also those of its stopped containers."""
        labels = {"project": self.name, "service": service}
        filters = [
            part for key, value in labels.items() for part in ("--filter", f"label=com.docker.compose.{key}={value}")
        ]
        return docker("ps", "--quiet", *(["--all"] if every else []), *filters).split()

    def state(self, container: str) -> Mapping[str, Any]:
        """Returns the Docker engine's description of a container."""
        state: dict[str, Any] = json.loads(docker("inspect", container))[0]
        return state

    def remove(self) -> None:
        """Removes the containers and their data."""
        self.compose("--profile", "demo", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def _compose() -> list[str] | None:
    plugin = ["docker", "compose"]
    if shutil.which("docker") and not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


def _run(command: Sequence[str], **options: Any) -> str:
    done = subprocess.run(list(command), capture_output=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-4000:]}"
    return str(done.stdout.decode())
