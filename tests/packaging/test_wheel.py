"""The wheel contains the package and its data, the command and the plugin, and nothing else from the clone."""

from __future__ import annotations

import configparser
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from quire.settings import CLONE

from tests.packaging.wheels import build_wheel, package_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from this clone."""
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("dist")))


def read_metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def requirements_of(wheel: zipfile.ZipFile) -> list[Requirement]:
    """Returns the wheel's requirements."""
    lines = Parser().parsestr(read_metadata(wheel, "METADATA")).get_all("Requires-Dist") or []
    return [Requirement(line) for line in lines]


def test_wheel_contains_the_package_and_its_data_only(wheel: zipfile.ZipFile) -> None:
    files = {path for path in wheel.namelist() if ".dist-info/" not in path}
    assert files == package_files()
    suffixes = {Path(path).suffix for path in files}
    assert suffixes == {".py", ".sql", ".html", ".css", ".js", ".svg"}


def test_wheel_declares_the_command_and_the_plugin(wheel: zipfile.ZipFile) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(read_metadata(wheel, "entry_points.txt"))
    assert {section: dict(entry_points[section]) for section in entry_points.sections()} == {
        "console_scripts": {"quire": "quire.cli.app:main"},
        "airflow.plugins": {"quire": "quire.portal.airflow_plugin:QuirePlugin"},
    }


def test_wheel_describes_the_project_and_cannot_be_uploaded(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(read_metadata(wheel, "METADATA"))
    readme = (CLONE / "README.md").read_text()
    assert metadata.get_payload() == readme
    first_sentence = " ".join(readme.split(".")[0].split())
    assert metadata["Summary"].removeprefix("Exports ").split(" to ")[0] in first_sentence
    assert "Private :: Do Not Upload" in (metadata.get_all("Classifier") or [])


def test_wheel_requires_an_airflow_whose_private_api_it_knows(wheel: zipfile.ZipFile) -> None:
    (airflow,) = (requirement for requirement in requirements_of(wheel) if requirement.name == "apache-airflow")
    assert [airflow.specifier.contains(version) for version in ("3.2.9", "3.3.0", "3.3.9", "3.4.0")] == [
        False, True, True, False,
    ]  # fmt: skip


def test_wheel_requires_ranges_and_no_pins(wheel: zipfile.ZipFile) -> None:
    requirements = requirements_of(wheel)
    assert {"apache-airflow", "polars", "xlsxwriter"} <= {requirement.name for requirement in requirements}
    assert [str(item) for item in requirements if "==" in str(item.specifier) or item.url] == []
