"""A hostile definition file affects only its own report, and loading it fails quickly and uses little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from quire.errors import DefinitionError
from quire.inbound_webhooks.webhook_files import find_webhook
from quire.report.catalog import load_catalog
from quire.report.catalog.definition_file import read_definition
from quire.report.catalog.query_file import read_query
from quire.report.catalog.text_file import MAX_QUERY_BYTES
from quire.report.catalog.yaml_document import MAX_LISTED_PROBLEMS, read_document
from quire.report.catalog.yaml_limits import MAX_DEPTH, MAX_VALUES
from quire.report.definition import ReportDefinition
from quire.report.definition.parameter import MAX_ENUM_VALUES

REPORT = "source: {sql: x.sql, time_column: at}\npartition: day\n"
SQL = "SELECT now() AS at WHERE now() >= %(start)s AND now() < %(end)s"
LOAD = """
import json, resource, signal, sys
from pathlib import Path
from quire.report.catalog import load_catalog
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for folder in sys.stdin:
    signal.alarm(60)
    catalog = load_catalog(Path(folder.rstrip()))
    errors = {name: str(error) for name, error in catalog.errors.items()}
    print(json.dumps([list(catalog.definitions), errors]), flush=True)
    signal.alarm(0)
"""
MERGES = "a: &a {a1: 1}\n" + "".join(
    f"{anchor}: &{anchor}\n  <<: [{', '.join([f'*{before}'] * 9)}]\n"
    for before, anchor in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def include(tmp_path: Path) -> Path:
    folder = tmp_path / "include"
    for name in ("reports", "sql", "webhooks"):
        (folder / name).mkdir(parents=True)
    (folder / "reports" / "good.yaml").write_text(REPORT)
    (folder / "sql" / "x.sql").write_text(SQL)
    return folder


class CatalogLoader:
    """Loads catalogs in a process with limited memory; the tests share it, because its imports take half a second."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def load(self, folder: Path) -> tuple[list[str], dict[str, str]]:
        """Returns the names of the reports that loaded, and the errors for the others."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LOAD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:  # the folder's files ended the process
            process, self._process = self._process, None
            pytest.fail(f"the process ended: {process.communicate()[1][-500:]}")
        definitions, errors = json.loads(line)
        return definitions, errors

    def stop(self) -> None:
        """Stops the process."""
        if self._process:
            self._process.communicate()
            self._process = None


LOADER = CatalogLoader()


@pytest.fixture(scope="module", autouse=True)
def stopped_loader() -> Iterator[None]:
    yield
    LOADER.stop()


def rejection(include: Path) -> str:
    """Returns the reason why the ``z`` report is rejected, after checking that the other report is loaded."""
    definitions, errors = LOADER.load(include)
    assert definitions == ["good"]
    assert list(errors) == ["z"]
    return errors["z"].removeprefix("include/reports/z.yaml:")


@pytest.mark.parametrize(
    "start",
    ["title: " + "[" * 100_000, "title: " + "{" * 100_000, "? " * 100_000],
    ids=["lists", "mappings", "keys"],
)
def test_deep_nesting_is_rejected_before_a_stack_overflow(include: Path, start: str) -> None:
    (include / "reports" / "z.yaml").write_text(start)
    assert rejection(include) == "1: more than 50 nested lists and mappings"


def test_deep_nesting_in_a_webhook_source_is_rejected(include: Path) -> None:
    (include / "webhooks" / "shop.yaml").write_text("table: " + "[" * 1_000)
    with pytest.raises(DefinitionError, match=r"shop.yaml:1: more than 50 nested lists and mappings$"):
        find_webhook(include, "shop")


def test_nesting_is_counted_through_aliases() -> None:
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, MAX_DEPTH))
    with pytest.raises(DefinitionError, match=rf"^f:{MAX_DEPTH}: more than {MAX_DEPTH} nested lists"):
        read_document(chain, file="f")


def test_nesting_up_to_the_limit_is_accepted() -> None:
    inner = MAX_DEPTH - 1  # the document itself is a mapping, which is one level
    assert read_document(f"a: {'[' * inner}{']' * inner}", file="f").values["a"]
    with pytest.raises(DefinitionError, match=r"nested lists and mappings"):
        read_document(f"a: [{'[' * inner}{']' * inner}]", file="f")


def test_merges_of_merges_are_rejected_before_they_are_built(include: Path) -> None:
    (include / "reports" / "z.yaml").write_text(MERGES + REPORT)
    assert rejection(include) == "11: more than 50,000 keys and values, including those that aliases repeat"


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {<<: *a}", "a: &a [&b [*a]]"])
def test_alias_inside_its_own_value_is_rejected(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"^f:1: the alias \*a refers to a value that contains it$"):
        read_document(text, file="f")


def test_values_up_to_the_limit_are_accepted() -> None:
    values = ",".join(["1"] * (MAX_VALUES - 3))  # the mapping, its key and the list count toward the limit
    assert len(read_document(f"a: [{values}]", file="f").values["a"]) == MAX_VALUES - 3
    with pytest.raises(DefinitionError, match=r"^f:1: more than 50,000 keys and values"):
        read_document(f"a: [1,{values}]", file="f")


def test_link_to_an_endless_device_is_rejected(include: Path) -> None:
    (include / "reports" / "z.yaml").symlink_to("/dev/zero")
    assert rejection(include) == " cannot read the file: not a regular file"


def test_link_to_itself_is_rejected(include: Path) -> None:
    (include / "reports" / "z.yaml").symlink_to("z.yaml")
    assert rejection(include) == " cannot read the file: not a regular file"


def test_link_out_of_the_folder_is_rejected_without_its_content(include: Path) -> None:
    (include.parent / "secret.yaml").write_text("password: hunter2\n")
    (include / "reports" / "z.yaml").symlink_to(include.parent / "secret.yaml")
    assert (
        rejection(include) == " cannot read the file: links to a file outside reports/: move the file into that folder"
    )


def test_links_of_a_mounted_config_map_are_followed(include: Path) -> None:
    reports = include / "reports"
    (reports / "..2026_11_27").mkdir()
    (reports / "..2026_11_27" / "z.yaml").write_text("titel: Misspelt\n" + REPORT)
    (reports / "..data").symlink_to("..2026_11_27")
    (reports / "z.yaml").symlink_to("..data/z.yaml")
    assert rejection(include) == "1: titel: unknown key; did you mean title?"


def test_query_that_is_a_link_to_itself_is_rejected(include: Path) -> None:
    (include / "sql" / "loop.sql").symlink_to("loop.sql")
    (include / "reports" / "z.yaml").write_text(REPORT.replace("x.sql", "loop.sql"))
    assert rejection(include).startswith("1: source.sql: ")


@pytest.mark.parametrize("name", ["reports/z.yaml", "sql/z.sql"])
def test_file_of_more_than_a_megabyte_is_rejected(include: Path, name: str) -> None:
    (include / "reports" / "z.yaml").write_text(REPORT.replace("x.sql", "z.sql"))
    (include / "sql" / "z.sql").write_text(SQL)
    with (include / name).open("a") as file:
        file.write("\n# " + "x" * 1_000_000)
    assert rejection(include).endswith(
        ": larger than 1000 kB" if name.startswith("reports") else ": larger than 256 kB"
    )


def test_thousands_of_unknown_keys_are_rejected_and_counted(include: Path) -> None:
    (include / "reports" / "z.yaml").write_text(REPORT + "".join(f"k{n}: 1\n" for n in range(20_000)))
    assert rejection(include).endswith("; and 19997 more")


def test_enum_of_too_many_values_is_rejected(include: Path) -> None:
    values = ", ".join(f"a{n}" for n in range(MAX_ENUM_VALUES + 1))
    (include / "reports" / "z.yaml").write_text(f"{REPORT}parameters: {{p: {{type: string, enum: [{values}]}}}}\n")
    assert rejection(include) == "3: parameters.p.enum: has 1,001 values; the maximum is 1,000"


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 5_000, "1" + ":59" * 3_000], ids=["9", "0xf", "1:59"])
def test_number_that_python_cannot_format_is_rejected(include: Path, number: str) -> None:
    (include / "reports" / "z.yaml").write_text(f"{REPORT}limits: {{days: {number}}}\n")
    reason = f"3: limits.days: the number has {len(number):,} characters; at most 400 are allowed"
    assert rejection(include) == reason


def test_query_file_over_the_limit_is_rejected(include: Path) -> None:
    (include / "reports" / "z.yaml").write_text(REPORT.replace("x.sql", "z.sql"))
    (include / "sql" / "z.sql").write_text(f"{SQL} --".ljust(MAX_QUERY_BYTES + 1, "x"))
    assert rejection(include).endswith("source.sql: larger than 256 kB")
    (include / "sql" / "z.sql").write_text(f"{SQL} --".ljust(MAX_QUERY_BYTES, "x"))
    assert "z" in load_catalog(include).definitions


@pytest.mark.parametrize("mark", ["; ", "%( ", "'%(a)s' ", "%(a)s "])
def test_query_with_many_mistakes_is_checked_for_the_first_hundred(include: Path, mark: str) -> None:
    (include / "reports" / "z.yaml").write_text(REPORT.replace("x.sql", "z.sql"))
    (include / "sql" / "z.sql").write_text(SQL + mark * 20_000)
    suggested: list[object] = []

    def suggest(word: object, names: object) -> str:
        suggested.append(word)
        return ""

    file = read_definition(include / "reports" / "z.yaml", ReportDefinition)
    with pytest.raises(DefinitionError) as caught:
        read_query(file.definition, file.document, include=include, file=file.file, suggest=suggest)
    error = str(load_catalog(include).errors["z"])
    assert str(caught.value).rpartition(" and ")[2] == error.rpartition(" and ")[2]
    assert error.endswith(f"and {100 - MAX_LISTED_PROBLEMS} more")
    assert len(suggested) <= 100
