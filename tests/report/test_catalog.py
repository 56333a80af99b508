"""Errors in include/ state the file, line, field and reason, and suggest the closest known name."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.errors import DefinitionError
from quire.report.catalog import find_definition, load_catalog
from quire.report.definition import ReportDefinition
from quire.settings import CLONE

YAML = """\
title: Flights
source:
  sql: flights/extract.sql
  time_column: scheduled_departure
  tables: [public.flights]
  freshness: tracked
partition: month
timezone: America/New_York
parameters:
  carrier: {type: string, enum: [AA, B6], default: null}
columns:
  - {name: distance, title: Miles, width: 12}
summaries:
  - name: By airline
    by: [carrier]
    measures:
      flights: {agg: count}
      mean_delay: {agg: mean, of: arrival_delay}
    sort: [-flights]
    chart: {type: column, x: carrier, y: [flights]}
queues: {extract: near_database}
"""
SQL = "SELECT *\nFROM flights\nWHERE t >= %(start)s AND t < %(end)s\n  AND carrier = %(carrier)s\n"


@pytest.fixture
def include(tmp_path: Path) -> Path:
    folder = tmp_path / "include"
    (folder / "reports").mkdir(parents=True)
    (folder / "sql" / "flights").mkdir(parents=True)
    (folder / "reports" / "flights.yaml").write_text(YAML)
    (folder / "sql" / "flights" / "extract.sql").write_text(SQL)
    return folder


def rejection(include: Path, yaml: str = YAML, *, sql: str = SQL) -> str:
    """Returns the reason why the ``flights`` report is rejected."""
    (include / "reports" / "flights.yaml").write_text(yaml)
    (include / "sql" / "flights" / "extract.sql").write_text(sql)
    with pytest.raises(DefinitionError) as caught:
        find_definition(include, "flights")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_report_is_named_for_its_file_and_has_its_sql(include: Path) -> None:
    definition = find_definition(include, "flights")
    assert (definition.name, definition.title, definition.sql_text) == ("flights", "Flights", SQL)
    assert load_catalog(include).definitions == {"flights": definition}


def test_broken_report_affects_no_other_report(include: Path) -> None:
    (include / "reports" / "broken.yaml").write_text("title: [")
    (include / "reports" / "My Report.yaml").write_text(YAML)
    (include / "reports" / "old.yml").write_text(YAML)
    (include / "reports" / ".#flights.yaml").write_text("an editor's lock")
    (include / "reports" / "notes.txt").write_text("no report")
    catalog = load_catalog(include)
    assert list(catalog.definitions) == ["flights"]
    assert list(catalog.errors) == ["My Report", "broken", "old"]
    assert str(catalog.errors["old"]) == "include/reports/old.yml: rename the file to old.yaml"
    assert "use lowercase letters, digits and single underscores" in str(catalog.errors["My Report"])


def test_report_in_two_files_is_rejected(include: Path) -> None:
    (include / "reports" / "flights.yml").write_text(YAML)
    catalog = load_catalog(include)
    assert (list(catalog.definitions), list(catalog.errors)) == ([], ["flights"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flight", "no report 'flight' in include/reports; did you mean flights?"),
        ("xyz", "no report 'xyz' in include/reports; existing reports: flights"),
        ("../reports/flights", "no report '../reports/flights'"),
    ],
)
def test_unknown_report_is_rejected_with_a_suggestion(include: Path, name: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        find_definition(include, name)
    assert str(caught.value).startswith(message)


def test_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"folder .*reports does not exist: set QUIRE_INCLUDE"):
        load_catalog(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time_column", "time_colum", "4: source.time_colum: unknown key; did you mean time_column?"),
        ("  time_column: scheduled_departure\n", "", "2: source.time_column: missing"),
        ("title: Flights", "titel: Flights", "1: titel: unknown key; did you mean title?"),
        ("title: Flights", "title:", "1: title: is empty: must be a string"),
        ("title: Flights", "title: 2013", "1: title: is 2013: must be a string"),
        ("title: Flights", "name: flights", "1: name: remove this key: the file name is the report's"),
        ("title: Flights", "sql_text: SELECT 1", "1: sql_text: unknown key; valid keys: title, description, owner"),
        ("partition: month", "partition: mnth", "7: partition: is 'mnth': use one of day, week, month, quarter, year"),
        ("partition: month", "partition: mnth", "; did you mean month?"),
        ("New_York", "NewYork", "8: timezone: is 'America/NewYork': use an IANA time zone"),
        ("tracked", "trackd", "use one of tracked, versions, always; did you mean tracked?"),
        ("tracked", "{prob: a}", "6: source.freshness.prob: unknown key; did you mean probe?"),
        ("tracked", "5", "6: source.freshness: is 5: must be a mapping"),
        ("[AA, B6]", "[AA, NO]", "10: parameters.carrier.enum[1]: is false: quote it, as in 'false'"),
        ("[AA, B6]", "AA", "10: parameters.carrier.enum: is 'AA': must be a list"),
        ("default: null", "defalt: null", "10: parameters.carrier.defalt: unknown key; did you mean default?"),
        ("carrier: {type", "start: {type", "10: parameters.start: start, end, force, formats and fan_out are reserved"),
        ("width: 12", "width: wide", "12: columns[0].width: is 'wide': must be a number"),
        ("width: 12", "width: 0", "12: columns[0].width: is 0: must be more than 0"),
        ("width: 12", "width: 256", "12: columns[0].width: is 256: must be at most 255"),
        ("agg: mean", "agg: maen", "18: summaries[0].measures.mean_delay.agg: is 'maen': use one of count, sum, mean"),
        ("agg: mean, of: arrival_delay", "agg: mean", "18: summaries[0].measures.mean_delay.of: missing: mean needs"),
        ("{agg: count}", "{ag: count}", "17: summaries[0].measures.flights.ag: unknown key; did you mean agg?"),
        ("[-flights]", "[-flight]", "19: summaries[0].sort[0]: is 'flight': use one of carrier, flights"),
        ("y: [flights]", "y: [flight]", "20: summaries[0].chart.y[0]: is 'flight': use one of flights"),
        (
            "by: [carrier]",
            "by: [{column: a, evry: day}]",
            "15: summaries[0].by[0].evry: unknown key; did you mean every?",
        ),
        ("By airline", "About", "14: summaries[0].name: is 'About': this sheet name is reserved"),
        ("{extract:", "{extrct:", "21: queues.extrct: is 'extrct': use one of plan, extract, layout"),
        (
            "sql: flights/extract.sql",
            "sql: flights/extrat.sql",
            "3: source.sql: include/sql/flights/extrat.sql does not exist",
        ),
        ("sql: flights/extract.sql", "sql: flights/extrat.sql", "; did you mean flights/extract.sql?"),
        ("sql: flights/extract.sql", "sql: ../flights.sql", "3: source.sql: '../flights.sql' is outside"),
        ("sql: flights/extract.sql", "sql: /etc/passwd", "3: source.sql: '/etc/passwd' is outside"),
        ("title: Flights", "title: a\ntitle: b", "2: title: duplicate key"),
        ("flights: {agg: count}", "flights: {agg: count, agg: sum}", "17: agg: duplicate key"),
        ("title: Flights", "on: 1", "1: the key on is not a string: quote it"),
        ("title: Flights", "title: a: b", "1: not valid YAML: mapping values are not allowed"),
        ("title: Flights", "title: [a", "2: not valid YAML: "),
        ("title: Flights", "\ttitle: a", "1: not valid YAML: found character that cannot start any token"),
        ("title: Flights", "title: *a", "1: not valid YAML: found undefined alias"),
        (
            "title: Flights",
            "title: !!python/object:os.system a",
            "1: not valid YAML: could not determine a constructor",
        ),
        ("freshness: tracked", "timeout: 25d", "6: source.timeout: must be at most 24d, PostgreSQL's limit"),
        ("title: Flights", "title: &a [*a]", "1: the alias *a refers to a value that contains it"),
    ],
)
def test_mistake_is_reported_with_its_line_and_field(include: Path, old: str, new: str, message: str) -> None:
    assert old in YAML
    error = rejection(include, YAML.replace(old, new, 1))
    assert error.startswith("include/reports/flights.yaml:")
    assert message in error
    assert error.count("flights.yaml:") == 1, "one mistake is reported once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "include/reports/flights.yaml: the file is empty"),
        ("# nothing\n", "include/reports/flights.yaml: the file is empty"),
        ("- a\n", "include/reports/flights.yaml:1: the file must be a mapping, such as title: Flights"),
        ("a: 1\n---\nb: 2\n", "include/reports/flights.yaml:2: not valid YAML: but found another document"),
        ("a: \x01", "include/reports/flights.yaml: not valid YAML: control characters are not allowed"),
        ("a: !!int b", "include/reports/flights.yaml: not valid YAML: invalid literal for int()"),
        ("a: !!bool b", "include/reports/flights.yaml: not valid YAML: a value does not match its type tag"),
        ("a: !!timestamp b", "include/reports/flights.yaml: not valid YAML: a value does not match its type tag"),
        ('a: !!int ""', "include/reports/flights.yaml: not valid YAML: a value does not match its type tag"),
    ],
)
def test_file_that_is_no_definition_is_rejected(include: Path, text: str, message: str) -> None:
    assert rejection(include, text).startswith(message)


def test_error_contains_the_first_three_mistakes_and_the_number_of_others(include: Path) -> None:
    error = rejection(include, YAML.replace("title:", "titel:").replace("sql:", "sqll:").replace("agg", "ag"))
    assert [part.split(":")[1] for part in error.split("; include/")] == ["1", "3", "12"]
    assert error.endswith("; and 2 more")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            SQL.replace("carrier)s", "carier)s"),
            "sql/flights/extract.sql:4: %(carier)s is not a parameter; did you mean carr",
        ),
        (SQL.replace("carrier)s", "x)s"), "declare it under parameters in include/reports/flights.yaml"),
        (
            SQL.replace("%(carrier)s", "'AA'"),
            "flights.yaml:10: parameters.carrier: unused: include/sql/flights/extract.sql does",
        ),
        (SQL.replace("%(carrier)s", "'%(carrier)s'"), "sql/flights/extract.sql:4: %(carrier)s is inside quotes"),
        (SQL.replace("%(end)s", "now()"), "sql/flights/extract.sql: %(end)s is missing"),
        (SQL.replace("%(start)s", "now() -- %(start)s\n"), "sql/flights/extract.sql: %(start)s is missing"),
        (SQL + "  AND a % 2 = 0", "sql/flights/extract.sql:5: '% 2 = 0': write %(name)s for a value, %% for a percent"),
        ("", "sql/flights/extract.sql: %(start)s is missing"),
    ],
)
def test_query_with_invalid_placeholders_is_rejected(include: Path, sql: str, message: str) -> None:
    assert message in rejection(include, sql=sql)


def test_query_ends_in_a_line_break_and_no_semicolon(include: Path) -> None:
    """The query becomes part of a larger statement, so a trailing comment must not hide the text after the query."""
    (include / "sql" / "flights" / "extract.sql").write_text("\ufeff" + SQL.rstrip() + " ;\n\n", encoding="utf-8")
    assert find_definition(include, "flights").sql_text == SQL


def test_query_that_is_not_utf_8_is_rejected(include: Path) -> None:
    (include / "sql" / "flights" / "extract.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(DefinitionError, match=r"flights.yaml:3: source.sql: .*utf-8"):
        find_definition(include, "flights")


def test_query_link_to_a_file_outside_the_folder_is_rejected(include: Path) -> None:
    (include.parent / "secret.sql").write_text(SQL)
    (include / "sql" / "link.sql").symlink_to(include.parent / "secret.sql")
    assert "is outside include/sql" in rejection(include, YAML.replace("flights/extract.sql", "link.sql"))


def test_dates_remain_text_and_anchors_are_resolved(include: Path) -> None:
    yaml = YAML.replace("title: Flights", "title: 2013-01-01\ndescription: >\n  Two\n  lines.\n")
    yaml = yaml.replace("columns:\n", "columns:\n  - &first {name: a, width: 5}\n  - {<<: *first, name: b}\n")
    (include / "reports" / "flights.yaml").write_text(yaml)
    definition = find_definition(include, "flights")
    assert (definition.title, definition.description) == ("2013-01-01", "Two lines.")
    assert [(column.name, column.width) for column in definition.columns][:2] == [("a", 5), ("b", 5)]


def test_mistake_in_a_value_that_overrides_an_anchor_has_its_line(include: Path) -> None:
    lines = "columns:\n  - &first {name: a, width: 5}\n  - <<: *first\n    name: b\n    width: wide\n"
    assert rejection(include, YAML.replace("columns:\n", lines)).startswith(
        "include/reports/flights.yaml:15: columns[1]"
    )


def test_reports_of_this_repository_are_valid() -> None:
    catalog = load_catalog(CLONE / "include")
    assert {name: str(error) for name, error in catalog.errors.items()} == {}
    assert isinstance(catalog.definitions["flights"], ReportDefinition)
