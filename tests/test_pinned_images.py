"""Each base image has a tag, and, once pinned, a digest that containers/pin-images.sh wrote."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from quire.settings import CLONE

FILES = ("Dockerfile", "docker-compose.yaml", "containers/redis.yaml")
NAMED = re.compile(
    r"^(?:ARG QUIRE_AIRFLOW_IMAGE=|\s+image: \$\{QUIRE_\w+_IMAGE:-)((?:[a-z0-9./-]+):(?!latest)[\w.-]+)(@[^}\s]*)?",
    re.MULTILINE,
)
DOCKER = """#!/bin/sh
case "$1 $2" in
    "pull --quiet") [ "$3" != "$UNREACHABLE" ] ;;
    "image inspect") printf '%s@sha256:%s\\n' "${5%:*}" "$(printf '%s' "$5 $AGE" | sha256sum | cut -d' ' -f1)" ;;
esac
"""


def digest(image: str, age: str) -> str:
    return f"@sha256:{hashlib.sha256(f'{image} {age}'.encode()).hexdigest()}"


def pinned(clone: Path) -> dict[str, str]:
    return {image: digest for name in FILES for image, digest in NAMED.findall((clone / name).read_text())}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copies of the files that contain image names, and a docker command that returns a digest for each image."""
    for name in (*FILES, "containers/pin-images.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((CLONE / name).read_bytes())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return tmp_path


def pin(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    command = ["sh", str(clone / "containers" / "pin-images.sh")]
    return subprocess.run(command, env={"PATH": path, **environment}, capture_output=True, text=True, check=False)


def test_base_images_of_compose_are_pinned_by_digest() -> None:
    images = pinned(CLONE)
    assert sorted(image.partition(":")[0] for image in images) == [
        "apache/airflow", "chrislusf/seaweedfs", "postgres", "redis",
    ]  # fmt: skip
    digests = {image: digest for image, digest in images.items() if not image.startswith("apache/airflow:")}
    assert all(re.fullmatch(r"@sha256:[0-9a-f]{64}", digest) for digest in digests.values())


def test_pin_images_writes_every_digest_and_later_the_newer_ones(clone: Path) -> None:
    images = list(pinned(clone))
    for age in ("old", "new"):
        done = pin(clone, AGE=age)
        assert done.returncode == 0, done.stderr
        assert pinned(clone) == {image: digest(image, age) for image in images}
    for name in FILES:
        now, before = (re.sub(r"@sha256:[0-9a-f]{64}", "", (root / name).read_text()) for root in (clone, CLONE))
        assert now == before


def test_pin_images_without_one_image_changes_nothing(clone: Path) -> None:
    before = {name: (clone / name).read_text() for name in FILES}
    assert pin(clone, AGE="old", UNREACHABLE="redis:7.2-bookworm").returncode != 0
    assert {name: (clone / name).read_text() for name in FILES} == before
