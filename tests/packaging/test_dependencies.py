"""pyproject.toml declares every package that Quire imports, and the locked versions are within the declared ranges."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from quire.settings import CLONE

from tests.packaging.wheels import CLONE_ONLY, PACKAGE
from tests.syntax_nodes import import_nodes

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-container.txt")
TYPES_ONLY = {"mypy_boto3_s3"}  # imported under TYPE_CHECKING
OF_DEPENDENCIES = {"anyio", "botocore", "pydantic-core"}  # Starlette, boto3 and pydantic depend on these


def dependencies() -> list[Requirement]:
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["dependencies"]]


def locked_versions(name: str) -> dict[str, set[str]]:
    """Returns each package's pinned versions; a package has several if its version depends on the platform."""
    versions: dict[str, set[str]] = {}
    for package, version in PIN.findall((CLONE / name).read_text()):
        versions.setdefault(canonicalize_name(package), set()).add(version)
    return versions


def imported_packages() -> set[str]:
    """Returns the top-level names of third-party packages that the wheel's modules import."""
    paths = (path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(CLONE_ONLY))
    names = {name.partition(".")[0] for path in paths for name in _imports(path.read_text())}
    return names - sys.stdlib_module_names - {"quire", "__future__"} - TYPES_ONLY


def _imports(source: str) -> Iterator[str]:
    for node in import_nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("lock", LOCKS)
def test_locked_version_lies_within_the_declared_range(lock: str) -> None:
    locked = locked_versions(lock)
    outside = [
        f"{dependency}: {version}"
        for dependency in dependencies()
        for version in locked.get(canonicalize_name(dependency.name), {"missing"})
        if version == "missing" or version not in dependency.specifier
    ]
    assert outside == []


def test_pyproject_declares_every_package_that_the_wheel_imports() -> None:
    """Airflow is a declared dependency, so its own direct dependencies need not be declared."""
    declared = {canonicalize_name(dependency.name) for dependency in dependencies()}
    of_airflow = {canonicalize_name(Requirement(line).name) for line in requires("apache-airflow-core") or ()}
    allowed = declared | of_airflow | {"apache-airflow-core", "apache-airflow-task-sdk"} | OF_DEPENDENCIES
    providers = packages_distributions()
    undeclared = {
        name
        for name in imported_packages()
        if not {canonicalize_name(distribution) for distribution in providers.get(name, [name])} & allowed
    }
    assert undeclared == set()


def test_requirements_in_repeats_no_dependency_of_pyproject() -> None:
    declared = {canonicalize_name(dependency.name) for dependency in dependencies()}
    lines = (CLONE / "requirements.in").read_text().splitlines()
    named = {Requirement(line.partition("#")[0]).name for line in lines if line.partition("#")[0].strip()}
    assert named
    assert not declared & {canonicalize_name(name) for name in named}
