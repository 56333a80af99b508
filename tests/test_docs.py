"""Every file, command, option, field, variable, route and package that the documentation mentions exists."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from quire.cli.app import app
from quire.report.definition import ReportDefinition
from quire.settings import CLONE
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from benchmarks.__main__ import PARTS
from tests.definition_fields import field_names, has_path, validate_fragment
from tests.documents import (
    DOCS,
    PAGES,
    anchors,
    blocks,
    code,
    first_cells,
    identify,
    local_links,
    prose,
    repository_files,
    source_text,
    spans,
)
from tests.portal_routes import route_paths
from tests.test_import_order import IMPORT_ORDER

INDEX, DECISIONS = DOCS / "README.md", DOCS / "adr" / "README.md"
ARCHITECTURE, REFERENCE = DOCS / "architecture.md", DOCS / "reference"
# Files that the documentation's readers create.
EXAMPLES = {
    "include/reports/sales.yaml", "include/sql/sales/extract.sql", "include/webhooks/", "out/", ".quire/",
    ".quire/environment",
}  # fmt: skip
EXAMPLE_VARIABLES = {"AIRFLOW_CONN_SHOP_WRITER", "AIRFLOW_CONN_SHOP_SIGNING"}
CONFIGURATION = "config_templates/config.yml"  # Airflow's options, with their defaults
TOP_FOLDERS = "plugins|tests|dags|docs|include|benchmarks|containers|kubernetes|[.]ci|[.]github"
WEBHOOK_PAGE = DOCS / "how-to" / "ingest-webhooks.md"
MAX_LINE_LENGTH = 120  # except in tables and code
FIELDS = field_names()
pages = pytest.mark.parametrize("page", PAGES, ids=identify)


def commands(group: TyperGroup, prefix: str = "") -> dict[str, TyperCommand]:
    """Returns a group's commands by name. In a subgroup, a command's name starts with the subgroup's name."""
    named: dict[str, TyperCommand] = {}
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            named |= commands(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand):
            named[f"{prefix}{name}"] = command
    return named


def options(command: TyperCommand | TyperGroup) -> set[str]:
    """Returns a command's options, except ``--help``."""
    return {name for option in command.params if isinstance(option, TyperOption) for name in option.opts} - {"--help"}


def usage(name: str) -> str:
    """Returns a command with its arguments, as in ``quire check [REPORT]``."""
    arguments = [argument for argument in COMMANDS[name].params if isinstance(argument, TyperArgument)]
    names = [str(argument.name).upper() for argument in arguments]
    forms = [name if argument.required else f"[{name}]" for name, argument in zip(names, arguments, strict=True)]
    return " ".join(["quire", name, *forms])


QUIRE = typer.main.get_group(app)
COMMANDS = commands(QUIRE)


@pages
def test_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in local_links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_index_lists_every_page() -> None:
    listed = {(INDEX.parent / link.partition("#")[0]).resolve() for link in local_links(INDEX)}
    decisions = {(DECISIONS.parent / link).resolve() for link in local_links(DECISIONS)}
    written = set(DOCS.rglob("*.md")) - {INDEX}
    assert written - listed - decisions == set()


def test_readme_leads_to_the_index() -> None:
    assert "docs/README.md" in local_links(CLONE / "README.md")


@pages
def test_path_exists(page: Path) -> None:
    paths = {span for span in spans(page) if re.fullmatch(rf"(?:{TOP_FOLDERS})/[\w./-]*", span)}
    paths |= {
        span for span in spans(page) if re.fullmatch(r"[\w.-]+\.(?:ya?ml|toml|txt|in|md)|Dockerfile|Makefile", span)
    }
    names = {path.name for path in repository_files()}
    missing = {path for path in paths - EXAMPLES if not (CLONE / path).exists() and path not in names}
    assert missing - {"plan.yaml", "publish.yaml", "compact.yaml"} == set()  # keys in kubernetes/values.yaml


@pages
def test_page_has_short_lines_and_ends_with_a_newline(page: Path) -> None:
    long = [line for line in prose(page).splitlines() if len(line) > MAX_LINE_LENGTH and not line.startswith("|")]
    assert long == []
    assert re.search(r"\S\n\Z", page.read_text())


@pages
def test_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([.a-z-]+):", (CLONE / "Makefile").read_text(), re.MULTILINE))
    called = {match[1] for line in code(page) if (match := re.match(r"make ([.a-z-]+)", line.strip()))}
    assert called <= targets


def quire_calls(page: Path) -> list[list[str]]:
    """Returns each ``quire`` command's arguments, from the code on a page."""
    calls = (re.search(r"(?:^|bin/|['\"(]|&& )quire ([a-z-][^|;&#'\"()]*)", line) for line in code(page))
    return [match[1].split() for match in calls if match]


@pages
def test_command_and_its_options_exist(page: Path) -> None:
    general = options(QUIRE) | {"--help"}
    for words in quire_calls(page):
        named = [word for word in words if not word.startswith("-")]
        if not named or named[0] == "COMMAND":
            assert {word for word in words if word.startswith("-")} <= general, words
            continue
        name = next((name for name in (" ".join(named[:2]), named[0]) if name in COMMANDS), None)
        assert name or any(command.startswith(f"{named[0]} ") for command in COMMANDS), words
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert not name or used <= options(COMMANDS[name]) | general, words


def test_every_command_and_option_is_documented() -> None:
    page = REFERENCE / "command-line.md"
    cells = first_cells(page, "# Command line")
    assert {usage(name) for name in COMMANDS} == {cell for cell in cells if cell.startswith("quire ")}
    assert options(QUIRE).union(*map(options, COMMANDS.values())) == {cell for cell in cells if cell.startswith("--")}


@pages
def test_benchmark_part_exists(page: Path) -> None:
    called = {match[1] for line in code(page) if (match := re.search(r"-m benchmarks (\w+)", line))}
    assert called - {"PART"} <= set(PARTS)


def test_every_field_of_a_definition_is_documented() -> None:
    text = (REFERENCE / "report-definition.md").read_text()
    assert [name for name in set(ReportDefinition.model_fields) - {"name", "sql_text"} if f"`{name}" not in text] == []


def test_definition_reference_names_only_fields() -> None:
    cells = first_cells(REFERENCE / "report-definition.md", "## Fields")
    assert [cell for cell in cells if not has_path(cell.replace("<name>", "name"))] == []


@pages
def test_dotted_field_exists(page: Path) -> None:
    dotted = [span for span in spans(page) if re.match(r"(?:source|limits|workbook|delivery|parameters)\.[a-z]", span)]
    assert [span for span in dotted if not has_path(span.partition(":")[0].replace("<name>", "name"))] == []


@pages
def test_inline_yaml_begins_with_a_field(page: Path) -> None:
    mappings = [match[1] for span in spans(page) if (match := re.match(r"([a-z_]+): ", span))]
    assert set(mappings) - {"quire"} <= FIELDS  # an error message starts with "quire: "


@pages
def test_yaml_example_is_valid(page: Path) -> None:
    if page != WEBHOOK_PAGE:  # the webhook tests cover the example on this page
        for block in blocks(page):
            if block.language == "yaml":
                validate_fragment(yaml.safe_load(block.text))


@pages
def test_environment_variable_is_read_somewhere(page: Path) -> None:
    names = set(re.findall(r"\b(?:QUIRE|AIRFLOW|S3|REDIS)_(?!_)[A-Z0-9_]*[A-Z0-9]\b(?!…)", page.read_text()))
    names = {name for name in names if not name.startswith("AIRFLOW__")} - EXAMPLE_VARIABLES
    assert {name for name in names if name not in source_text()} == set()


def test_every_variable_of_the_settings_is_documented() -> None:
    text = (CLONE / "plugins" / "quire" / "settings.py").read_text()
    read = set(re.findall(r"\bQUIRE_[A-Z_]+[A-Z]\b", text)) - {"QUIRE_OWNER", "QUIRE_STORE"}  # connections
    assert read <= set(first_cells(REFERENCE / "settings.md", "## Variables"))


@cache
def airflow_options() -> dict[str, set[str]]:
    """Returns the names of the options in each section of Airflow's configuration, without importing Airflow."""
    spec = find_spec("airflow")
    assert spec
    (path,) = [file for folder in spec.submodule_search_locations or () for file in Path(folder).glob(CONFIGURATION)]
    sections = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    return {name: set(section["options"]) for name, section in sections.items()}


@pages
def test_airflow_option_exists(page: Path) -> None:
    named = [match.groups() for span in spans(page) if (match := re.match(r"\[(\w+)\] (\w+)", span))]
    named += re.findall(r"airflow__([a-z_]+?)__([a-z_]+)", page.read_text().lower())
    assert [pair for pair in named if pair[1] not in airflow_options().get(pair[0], set())] == []


def test_documented_routes_are_those_of_the_portal() -> None:
    cells = first_cells(REFERENCE / "portal-api.md", "## Routes")
    documented = {tuple(re.sub(r"\?.*", "", cell).split()) for cell in cells}
    assert documented == {(method, f"/quire{path}") for method, path in route_paths()}


def test_architecture_lists_packages_in_import_order() -> None:
    assert first_cells(ARCHITECTURE, "## Packages") == list(IMPORT_ORDER)


def test_architecture_diagram_shows_every_stage() -> None:
    (diagram,) = [block.text for block in blocks(ARCHITECTURE) if block.language == "mermaid"]
    stages = {path.stem for path in (CLONE / "plugins" / "quire" / "stages").glob("*.py")} - {"__init__"}
    assert stages <= set(re.findall(r"\b\w+\b", diagram))


@pages
def test_module_exists(page: Path) -> None:
    modules = {match[1] for line in code(page) if (match := re.search(r"\b(quire(?:\.[a-z_]+)+)\b", line))}
    places = [CLONE / "plugins" / Path(*module.split(".")) for module in modules - {"quire.pg_type"}]
    schema = ("webhook_event", "webhook_record")  # tables in PostgreSQL's quire schema
    missing = [p for p in places if not (p.is_dir() or p.with_suffix(".py").exists() or p.name in schema)]
    assert missing == []


def test_no_reference_to_a_document_outside_the_repository() -> None:
    outside = re.compile(r"\b(?:DESIGN|PITFALLS|REVIEW|TASK)(?:\.md\b|'s? section| section)")
    assert outside.findall(source_text()) == []


def test_every_sql_script_for_administrators_is_documented() -> None:
    linked = {(page.parent / link).resolve() for page in PAGES for link in local_links(page) if link.endswith(".sql")}
    assert set((CLONE / "include" / "sql" / "quire").glob("*.sql")) <= linked


def test_python_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in (CLONE / "README.md").read_text()
