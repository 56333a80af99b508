"""Each of Quire's packages imports only packages that precede it in the import order."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from quire.settings import CLONE

from tests.syntax_nodes import import_nodes

PACKAGE = CLONE / "plugins" / "quire"
# The order is declared only here, from the leaves to the entry points.
IMPORT_ORDER = (
    "errors",
    "settings",
    "date_range",
    "portal_urls",
    "human_readable",
    "allocator_settings",
    "number_formats",
    "output_values",
    "xlsx",
    "csv_and_parquet",
    "report",
    "record_types",
    "resource_usage",
    "object_store",
    "postgres",
    "partition_cache",
    "runs",
    "aggregation",
    "tables_and_charts",
    "stages",
    "stage_threads",
    "pipeline",
    "notification_content",
    "airflow_api",
    "airflow_dag",
    "inbound_webhooks",
    "scheduler_preload",
    "portal",
    "cli",
    "dev_stack",
)
# The writers do not depend on reports; they import only these Quire modules.
WRITER_IMPORTS = {"errors", "human_readable", "output_values", "xlsx"}
MAX_LOOSE_MODULES = 10

Imports = Mapping[str, set[str]]
Edges = dict[str, dict[str, list[str]]]


def read_package(root: Path) -> dict[str, str]:
    """Returns the source for each module in a folder and its subfolders, by the module's dotted name."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        sources[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return sources


def module_imports(sources: Mapping[str, str]) -> Imports:
    """Returns the modules that each module imports anywhere, including in functions and for type checking."""
    return {name: set(_imported(source, sources)) - {name} for name, source in sources.items()}


def _imported(source: str, modules: Mapping[str, str]) -> Iterator[str]:
    for node in import_nodes(source):
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names = [f"{prefix}{alias.name}" for alias in node.names]
        for name in names:
            module = name if name in modules else name.rpartition(".")[0]
            if module in modules:
                yield module


def package_imports(imports: Imports) -> Edges:
    """Returns the packages that each package imports, with a description of each import."""
    edges: Edges = {}
    for module, targets in imports.items():
        for target in targets:
            importer, imported = _package(module), _package(target)
            if importer and imported and importer != imported:
                edges.setdefault(importer, {}).setdefault(imported, []).append(f"{module} imports {target}")
    return edges


def _package(module: str) -> str | None:
    """Returns a module's entry in the import order, or None for ``quire`` and ``quire.__main__``."""
    parts = module.split(".")
    return None if len(parts) == 1 or parts[1] == "__main__" else parts[1]


def upward_imports(edges: Mapping[str, Mapping[str, list[str]]]) -> list[str]:
    """Returns the imports whose packages come after the importing package."""
    position = {name: index for index, name in enumerate(IMPORT_ORDER)}
    return sorted(
        line
        for importer, targets in edges.items()
        for imported, lines in targets.items()
        if position[imported] > position[importer]
        for line in lines
    )


def cycle(edges: Mapping[str, Iterator[str] | set[str] | Mapping[str, object]]) -> list[str]:
    """Returns the nodes in a cycle, if there is one."""
    try:
        TopologicalSorter({name: set(targets) for name, targets in edges.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def imports() -> Imports:
    return module_imports(read_package(PACKAGE))


@pytest.fixture(scope="module")
def edges(imports: Imports) -> Edges:
    return package_imports(imports)


def test_import_order_names_every_package_once() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert sorted(IMPORT_ORDER) == sorted(entries - {"__init__", "__main__"})


def test_package_imports_only_packages_before_it(edges: Edges) -> None:
    assert upward_imports(edges) == []


def test_packages_and_modules_have_no_import_cycles(imports: Imports, edges: Edges) -> None:
    assert cycle(edges) == []
    assert cycle(imports) == []


@pytest.mark.parametrize("writer", ["xlsx", "csv_and_parquet"])
def test_writer_does_not_depend_on_reports(edges: Edges, writer: str) -> None:
    assert set(edges[writer]) <= WRITER_IMPORTS


def test_few_modules_exist_outside_the_packages() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]) <= MAX_LOOSE_MODULES


def test_import_in_a_function_counts_as_upward_and_as_a_cycle() -> None:
    sources = {
        "quire.errors": "def run():\n    from quire.portal import access\n",
        "quire.portal": "",
        "quire.portal.access": "import quire.errors\n",
    }
    edges = package_imports(module_imports(sources))
    assert upward_imports(edges) == ["quire.errors imports quire.portal.access"]
    assert set(cycle(edges)) == {"errors", "portal"}
