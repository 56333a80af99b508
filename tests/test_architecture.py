"""The package follows its rules about stages, file sizes, names and Airflow imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.syntax_nodes import import_nodes

CLONE = Path(__file__).resolve().parents[1]
PLUGINS = CLONE / "plugins"
STAGES = PLUGINS / "quire" / "stages"
HEAVY = ("polars", "pyarrow", "xlsxwriter", "pandas", "airflow", "boto3")
MAX_FILE_LINES = 300
MIN_FILES = 400  # fewer files would mean that the search missed folders
EMPTY_NAMES = {"utils", "helpers", "manager", "common", "base"}


def sources(*folders: str) -> list[Path]:
    """Returns the Python files in the given top-level folders; by default, in all folders except hidden ones."""
    if folders:
        return sorted(path for folder in folders for path in (CLONE / folder).rglob("*.py"))
    visible = [path for path in CLONE.iterdir() if not path.name.startswith(".")]
    return sorted([*CLONE.glob("*.py"), *(path for folder in visible for path in folder.rglob("*.py"))])


def imports_of(source: str) -> set[str]:
    """Returns the modules that source code imports at any nesting depth; ``from a import b`` becomes a.b."""
    return set(_imports(source))


def _imports(source: str) -> Iterator[str]:
    for node in import_nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def stage_faults(stage: str, imported: set[str]) -> list[str]:
    """Returns the other stages that ``stage`` imports."""
    return sorted(m for m in imported if belongs(m, "quire.stages") and not belongs(m, f"quire.stages.{stage}"))


def may_import_airflow(path: Path) -> bool:
    place = path.relative_to(CLONE).parts
    return (
        place[0] == "dags"
        or place == ("plugins", "quire_plugin.py")
        or place[:3] == ("plugins", "quire", "portal")
        or (place[:2] == ("plugins", "quire") and place[2].removesuffix(".py") == "airflow_dag")
    )


def identify(path: Path) -> str:
    return path.relative_to(CLONE).as_posix()


def imports_by_path(*folders: str) -> Iterator[tuple[Path, str]]:
    """Yields every import in the source files in the given top-level folders, with the file's path."""
    for path in sources(*folders):
        yield from ((path, module) for module in sorted(imports_of(path.read_text())))


def test_stages_import_no_other_stage() -> None:
    faults = {
        identify(path): stage_faults(
            path.relative_to(STAGES).parts[0].removesuffix(".py"), imports_of(path.read_text())
        )
        for path in sources("plugins/quire/stages")
    }
    assert {path: modules for path, modules in faults.items() if modules} == {}


def test_sources_import_airflow_only_where_allowed_and_never_pandas() -> None:
    assert [
        f"{identify(path)} imports {module}"
        for path, module in imports_by_path("plugins", "dags")
        if belongs(module, "pandas") or (belongs(module, "airflow") and not may_import_airflow(path))
    ] == []


def test_files_are_short() -> None:
    lengths = {identify(path): len(path.read_text().splitlines()) for path in sources()}
    assert len(lengths) > MIN_FILES
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_files_are_named_after_their_contents() -> None:
    names = {identify(path): {part.removesuffix(".py") for part in path.relative_to(CLONE).parts} for path in sources()}
    assert [path for path, parts in names.items() if parts & EMPTY_NAMES] == []


@pytest.mark.parametrize("module", ["quire.report.catalog", "quire.report.definition"])
def test_importing_definitions_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PLUGINS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"


def test_rules_detect_violations() -> None:
    """Applies each rule to source code that breaks the rule."""
    imported = imports_of(
        "def run():\n    from quire.stages import render\n    import airflow.sdk\nfrom quire import catalog\n"
    )
    assert stage_faults("extract", imported) == ["quire.stages.render"]
    assert stage_faults("render", {"quire.stages.render.sheets", "quire.stages.renderer"}) == ["quire.stages.renderer"]
    assert "airflow.sdk" in imported
    assert not may_import_airflow(PLUGINS / "quire" / "stages" / "plan.py")
    assert may_import_airflow(PLUGINS / "quire" / "airflow_dag.py")
    assert may_import_airflow(PLUGINS / "quire" / "portal" / "app.py")
