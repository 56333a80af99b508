"""The package follows its rules about stages, file sizes, names and Airflow imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.syntax_nodes import import_nodes

CLONE = Path(__file__).resolve().parents[1]
PLUGINS = CLONE / "plugins"
STAGES = PLUGINS / "quire" / "stages"
MAX_FILE_LINES = 300
MIN_FILES = 400  # fewer files would mean that the search missed folders
EMPTY_NAMES = {"utils", "helpers", "manager", "common", "base"}
SHARED_MODULE_NAMES = {"__init__", "__main__"}
SHARED_FUNCTION_NAMES = {"main"}  # each entry point has its own
MAX_POSITIONAL = 3
CALLED_WITH_POSITIONAL_ARGUMENTS = {
    "quire.aggregation.parquet_scan.read",  # by Polars
    "quire.portal.access.is_authorized",  # through Authorizer
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PARTICIPLE = re.compile(r"_?[a-z]+ed")
TYPE_NAME = re.compile(r"[A-Z]\w*[a-z]\w*")


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
        or (place[:2] == ("plugins", "quire") and place[2].removesuffix(".py") in {"airflow_dag", "scheduler_preload"})
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


def shared_names(sources: Mapping[str, str]) -> list[str]:
    """Returns the names that several modules share, with the modules, by each module's dotted name.

    A name is a module's own name, or a public function, class or type alias in a module. The functions of commands are
    exempt, because they have their commands' names.
    """
    homes: dict[str, list[str]] = {}
    for module, source in sources.items():
        stem = module.rpartition(".")[2]
        if stem not in SHARED_MODULE_NAMES:
            homes.setdefault(f"module {stem}", []).append(module)
        for name in {node_name for node in ast.parse(source).body for node_name in _defined_names(node)}:
            if not name.startswith("_") and name not in SHARED_FUNCTION_NAMES:
                homes.setdefault(name, []).append(module)
    return sorted(f"{name}: {', '.join(modules)}" for name, modules in homes.items() if len(modules) > 1)


def _defined_names(node: ast.stmt) -> list[str]:
    """Returns the functions, classes and type aliases that a statement defines, except type variables."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        is_command = any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list)
        return [] if is_command else [node.name]
    if isinstance(node, ast.Assign) and not ast.unparse(node.value).startswith("TypeVar("):
        return [target.id for target in node.targets if isinstance(target, ast.Name) and TYPE_NAME.fullmatch(target.id)]
    return []


def copied_functions(sources: Mapping[str, str]) -> list[str]:
    """Returns the functions and classes, private ones included, that several modules define with the same code."""
    homes: dict[str, list[str]] = {}
    for module, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                homes.setdefault(ast.unparse(node), []).append(f"{module}.{node.name}")
    return sorted(" = ".join(names) for names in homes.values() if len(names) > 1)


def functions_with_many_positional_parameters(source: str) -> list[str]:
    """Returns the functions with more than ``MAX_POSITIONAL`` positional parameters, not counting self and cls."""
    tree = ast.parse(source)
    methods = {
        function
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for function in kind.body
        if isinstance(function, FUNCTIONS) and "staticmethod" not in map(ast.unparse, function.decorator_list)
    }
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
        and len([*node.args.posonlyargs, *node.args.args]) - (node in methods) > MAX_POSITIONAL
    ]


def participle_functions(source: str) -> list[str]:
    """Returns the functions that are named with one participle; a property may have such a name."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, FUNCTIONS)
        and PARTICIPLE.fullmatch(node.name)
        and "property" not in map(ast.unparse, node.decorator_list)
    ]


def package_sources() -> dict[str, str]:
    """Returns the source of every module in the package, by its dotted name."""
    return {
        ".".join(path.relative_to(PLUGINS).with_suffix("").parts): path.read_text() for path in sources("plugins/quire")
    }


def test_modules_with_different_contents_share_no_names() -> None:
    assert shared_names(package_sources()) == []


def test_modules_contain_no_copies_of_functions() -> None:
    assert copied_functions(package_sources()) == []


def test_arguments_after_the_third_are_keyword_only() -> None:
    assert {
        f"{module}.{function}"
        for module, source in package_sources().items()
        for function in functions_with_many_positional_parameters(source)
    } == CALLED_WITH_POSITIONAL_ARGUMENTS


def test_functions_are_not_named_with_participles() -> None:
    names = {module: participle_functions(source) for module, source in package_sources().items()}
    assert {module: functions for module, functions in names.items() if functions} == {}


def test_rules_detect_violations() -> None:
    """Applies each rule to source code that breaks the rule."""
    modules = {
        "quire.a.owner": "class Owner: ...\ndef _read(): return 1\nItem = TypeVar('Item')\nName = Annotated[str, 1]\n",
        "quire.b.owner": "def _read(): return 1\nOwner = dict[str, str]\nItem = TypeVar('Item')\nLIMIT = 1\n",
        "quire.b.names": "@app.command()\ndef run(): ...\nName: str = 'a'\nName = Annotated[str, 2]\nLIMIT = 2\n",
        "quire.b.runs": "def run(): ...\ndef main(): ...\n",
    }
    assert shared_names(modules) == [
        "Name: quire.a.owner, quire.b.names",
        "Owner: quire.a.owner, quire.b.owner",
        "module owner: quire.a.owner, quire.b.owner",
    ]
    assert copied_functions(modules) == ["quire.a.owner._read = quire.b.owner._read"]
    code = (
        "class A:\n    def three(self, a, b, c, *, d): ...\n    @staticmethod\n    def four(a, b, c, d): ...\n"
        "async def nested():\n    def also_four(a, b, /, c, d=1): ...\n"
    )
    assert functions_with_many_positional_parameters(code) == ["four", "also_four"]
    code = (
        "class A:\n    def _locked(self): ...\n    @property\n    def closed(self): ...\n    def seed_all(self): ...\n"
    )
    assert participle_functions(code) == ["_locked"]
    imported = imports_of(
        "def run():\n    from quire.stages import render\n    import airflow.sdk\nfrom quire import catalog\n"
    )
    assert stage_faults("extract", imported) == ["quire.stages.render"]
    assert stage_faults("render", {"quire.stages.render.sheets", "quire.stages.renderer"}) == ["quire.stages.renderer"]
    assert "airflow.sdk" in imported
    assert not may_import_airflow(PLUGINS / "quire" / "stages" / "plan.py")
    assert may_import_airflow(PLUGINS / "quire" / "airflow_dag.py")
    assert may_import_airflow(PLUGINS / "quire" / "portal" / "app.py")
