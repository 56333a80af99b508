"""Tests valid fields and default values in report definitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from quire.date_range import Grain
from quire.record_types.serialization import digest
from quire.report.definition import Notifier, Probe, ReportDefinition, RowSplit, SourceTable, default_title

SUMMARY = {
    "name": "By airline",
    "by": ["carrier_name", {"column": "scheduled_departure", "every": "month"}],
    "measures": {"flights": {"agg": "count"}, "mean_delay": {"agg": "mean", "of": "arrival_delay", "title": "Delay"}},
    "sort": ["-flights", "carrier_name"],
    "chart": {"type": "column", "x": "carrier_name", "y": ["flights"]},
}


def define(**fields: Any) -> ReportDefinition:
    """Returns a minimal definition with some fields set."""
    least = {"name": "flights", "source": {"sql": "a.sql", "time_column": "t"}, "partition": "month"}
    return ReportDefinition.model_validate({**least, **fields})


def rejection(**fields: Any) -> str:
    """Returns the reason why a definition is rejected; there must be only one."""
    with pytest.raises(ValidationError) as caught:
        define(**fields)
    (reason,) = (error["msg"] for error in caught.value.errors() if error["type"] != "default_factory_not_called")
    return reason


def test_minimal_definition_has_the_documented_defaults() -> None:
    definition = define()
    assert definition.title == "Flights"
    assert definition.timezone == "UTC"
    assert (definition.schedule, definition.store_schedule) == (None, None)
    assert definition.source.connection == "quire_source"
    assert definition.source.freshness == "always"
    assert (definition.source.parallel, definition.source.timeout) == (4, timedelta(minutes=30))
    assert (definition.window, definition.window_count, definition.window_grain) == ("1 month", 1, Grain.MONTH)
    assert (definition.workbook.split, definition.workbook.detail, definition.workbook.formats) == (
        "partition",
        True,
        ("xlsx",),
    )
    assert (definition.delivery.link_ttl, definition.delivery.keep) == (timedelta(hours=1), None)


def test_short_forms_equal_the_long_forms() -> None:
    definition = define(
        source={"sql": "a.sql", "time_column": "t", "tables": ["a", {"name": "b", "time_column": "c"}]},
        summaries=[SUMMARY],
    )
    assert definition.source.tables == (SourceTable(name="a"), SourceTable(name="b", time_column="c"))
    (summary,) = definition.summaries
    assert [(key.column, key.every) for key in summary.by] == [
        ("carrier_name", None),
        ("scheduled_departure", Grain.MONTH),
    ]
    assert [(key.column, key.descending) for key in summary.sort] == [("flights", True), ("carrier_name", False)]
    assert summary.column_names == ("carrier_name", "scheduled_departure", "flights", "mean_delay")


def test_titles_default_to_names() -> None:
    definition = define(
        columns=[{"name": "carrier_name", "title": "Airline"}, {"name": "air_time"}],
        parameters={"first_day": {"type": "date"}, "carrier": {"type": "string", "title": "Code"}},
        summaries=[SUMMARY],
    )
    (summary,) = definition.summaries
    assert [column.title for column in definition.columns] == ["Airline", "Air time"]
    assert [definition.column_title(name) for name in ("carrier_name", "tail_number")] == ["Airline", "Tail number"]
    assert [definition.group_title(key) for key in summary.by] == ["Airline", "Month"]
    assert [measure.title for measure in summary.measures.values()] == ["Flights", "Delay"]
    assert [parameter.title for parameter in definition.parameters.values()] == ["First day", "Code"]
    assert [default_title(name) for name in ("id", "Net Total", "a__b_", "ärger")] == [
        "Id",
        "Net Total",
        "A b",
        "Ärger",
    ]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("7 d", timedelta(days=7)),
    ],
)
def test_duration_is_read(text: str, length: timedelta) -> None:
    assert define(delivery={"link_ttl": text}).delivery.link_ttl == length


@pytest.mark.parametrize("wrong", ["30", 30, "0m", "-1h", "1.5h", "1w", "", None, "1h30m"])
def test_duration_in_another_format_is_rejected(wrong: object) -> None:
    assert "write a duration such as 45s, 30m, 1h or 90d" in rejection(delivery={"link_ttl": wrong})


@pytest.mark.parametrize(
    ("text", "count", "grain"),
    [("1 month", 1, Grain.MONTH), ("7 days", 7, Grain.DAY), ("2 weeks", 2, Grain.WEEK), ("1 years", 1, Grain.YEAR)],
)
def test_window_is_read(text: str, count: int, grain: Grain) -> None:
    definition = define(window=text)
    assert (definition.window_count, definition.window_grain) == (count, grain)


def test_window_defaults_to_one_partition() -> None:
    assert define(partition="week").window == "1 week"


@pytest.mark.parametrize("wrong", ["0 days", "month", "1 hour", "-1 day", "1.5 days", "1  day"])
def test_window_in_another_format_is_rejected(wrong: str) -> None:
    assert "write a number of periods" in rejection(window=wrong)


def test_freshness_and_split_accept_a_string_or_a_mapping() -> None:
    source = {"sql": "a.sql", "time_column": "t", "freshness": {"probe": "updated_at"}}
    definition = define(source=source, workbook={"split": {"rows": 500_000}})
    assert definition.source.freshness == Probe(probe="updated_at")
    assert definition.workbook.split == RowSplit(rows=500_000)


def test_notifier_keeps_its_arguments() -> None:
    slack = {"notifier": "airflow.providers.slack.X", "text": "{{ quire_text }}", "blocks": [{"a": 1}]}
    notify = define(delivery={"notify": {"success": ["ops@example.org", slack]}}).delivery.notify
    address, notifier = notify.success
    assert address == "ops@example.org"
    assert isinstance(notifier, Notifier)
    assert (notifier.notifier, notifier.arguments) == (
        "airflow.providers.slack.X",
        {"text": "{{ quire_text }}", "blocks": [{"a": 1}]},
    )
    assert define(delivery={"notify": notify.model_dump(mode="json")}).delivery.notify == notify


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Flights"}, "use lowercase letters, digits and single underscores"),
        ({"name": "../flights"}, "use lowercase letters, digits and single underscores"),
        ({"title": " "}, "is empty"),
        ({"title": "a\nb"}, "write a single line"),
        ({"partition": "hour"}, "'day', 'week', 'month', 'quarter' or 'year'"),
        ({"timezone": "America/NewYork"}, "did you mean America/New_York?"),
        ({"schedule": "0 6 1 *"}, "five fields"),
        ({"schedule": "0 66 1 * *"}, "out of range"),
        ({"schedule": "0 0 31 2 *"}, "failed to find next date"),
        ({"parameters": {"force": {"type": "boolean"}}}, "are reserved"),
        ({"parameters": {"Carrier": {"type": "string"}}}, "use lowercase letters, digits and underscores"),
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "a is listed twice"),
        ({"columns": [{"name": "a", "width": 0}]}, "greater than 0"),
        ({"columns": [{"name": "a", "total": "median"}]}, "'sum', 'mean', 'min', 'max' or 'count'"),
        ({"summaries": [SUMMARY, {**SUMMARY, "name": "BY AIRLINE"}]}, "two sheets are named 'BY AIRLINE'"),
        ({"columns": [{"name": "carrier_name", "title": "delay"}], "summaries": [SUMMARY]}, "have the header 'Delay'"),
        ({"workbook": {"detail": False}}, "the run would be empty"),
        ({"workbook": {"formats": []}}, "is empty"),
        ({"workbook": {"formats": ["xlsx", "xlsx"]}}, "xlsx is listed twice"),
        ({"workbook": {"split": {"rows": 0}}}, "greater than or equal to 1"),
        ({"delivery": {"link_ttl": "8d"}}, "at most 7d"),
        ({"delivery": {"notify": {"success": ["ops"]}}}, "ops@example.org"),
        ({"delivery": {"notify": {"success": [{"notifier": "Slack"}]}}}, "write the full path of a class"),
        ({"delivery": {"notify": {"failure": [{"channel": "#ops"}]}}}, "Field required"),
        ({"queues": {"extrakt": "q"}}, "'extract'"),
        ({"pools": {"extrakt": "p"}}, "'extract'"),
        ({"pools": {"extract": ""}}, "is empty"),
        ({"store_schedule": "0 2 * * *"}, "has no effect with source.freshness: always"),
        (
            {"schedule": "0 6 1 * *", "parameters": {"a": {"type": "string"}}},
            "every parameter in a scheduled report needs a default",
        ),
        ({"source": {"sql": "a.sql", "time_column": "t", "freshness": "tracked"}}, "tracked requires source.tables"),
        ({"source": {"sql": "a.sql", "time_column": "t", "tables": ["a", "a"]}}, "a is listed twice"),
        ({"source": {"sql": "a.sql", "time_column": "t", "parallel": 65}}, "less than or equal to 64"),
        ({"source": {"sql": "a.sql", "time_column": "t", "parallel": 0}}, "greater than or equal to 1"),
        (
            {"source": {"sql": "a.sql", "time_column": "t", "connection": "a b"}},
            "use letters, digits, underscores, dots and hyphens",
        ),
    ],
)
def test_definition_with_contradictions_is_rejected(fields: dict[str, Any], message: str) -> None:
    assert message in rejection(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "About"}, "this sheet name is reserved"),
        ({"name": "files"}, "this sheet name is reserved"),
        ({"name": "History"}, "this sheet name is reserved"),
        ({"name": "a/b"}, "a sheet name must not contain"),
        ({"name": "'a"}, "a sheet name must not contain"),
        ({"name": "x" * 32}, "has 32 characters"),
        ({"by": []}, "is empty: name at least one column"),
        ({"by": ["flights"]}, "two columns are named flights"),
        ({"by": [{"column": "t", "every": "hour"}]}, "'day', 'week', 'month', 'quarter' or 'year'"),
        ({"measures": {}}, "is empty: name at least one measure"),
        ({"measures": {"flights": {"agg": "sum"}}}, "sum needs a column or expression"),
        ({"measures": {"flights": {"agg": "count", "of": "a"}}}, "not allowed with agg: count"),
        ({"measures": {"flights": {"agg": "avg", "of": "a"}}}, "'count', 'sum', 'mean'"),
        ({"sort": ["-flight"]}, "did you mean flights?"),
        ({"chart": {"type": "column", "x": "carier_name", "y": ["flights"]}}, "did you mean carrier_name?"),
        ({"chart": {"type": "column", "x": "carrier_name", "y": ["carrier_name"]}}, "use one of flights"),
        ({"chart": {"type": "column", "x": "carrier_name", "y": []}}, "name at least one measure"),
        (
            {"chart": {"type": "pie", "x": "carrier_name", "y": ["flights", "mean_delay"]}},
            "a pie chart shows only one measure",
        ),
    ],
)
def test_summary_that_cannot_be_computed_is_rejected(fields: dict[str, Any], message: str) -> None:
    assert message in rejection(summaries=[{**SUMMARY, **fields}])


@pytest.mark.parametrize("piece", ["x", "[", "a ", "\n", "%Y"])
@pytest.mark.parametrize(
    "fields",
    [
        lambda text: {"name": text},
        lambda text: {"timezone": text},
        lambda text: {"schedule": text},
        lambda text: {"window": text},
        lambda text: {"source": {"sql": "a.sql", "time_column": "t", "connection": f"{text} "}},
        lambda text: {"source": {"sql": "a.sql", "time_column": "t", "timeout": text}},
        lambda text: {"delivery": {"notify": {"failure": [text]}}},
        lambda text: {"delivery": {"notify": {"failure": [{"notifier": text}]}}},
        lambda text: {"columns": [{"name": "a", "format": text}]},
        lambda text: {"columns": [{"name": "a", "format": text[:250]}]},
    ],
)
def test_long_text_is_not_repeated_in_the_error(fields: Callable[[str], dict[str, Any]], piece: str) -> None:
    with pytest.raises(ValidationError) as caught:
        define(**fields(piece * 50_000))
    assert max(len(str(error["msg"])) for error in caught.value.errors()) < 320


def test_definition_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        define().title = "Other"  # type: ignore[misc]


def test_dump_is_deterministic_json() -> None:
    definition = define(summaries=[SUMMARY], sql_text="SELECT 1")
    dump = definition.model_dump(mode="json")
    assert json.loads(json.dumps(dump)) == dump
    assert dump["sql_text"] == "SELECT 1"
    assert digest(dump) == digest(define(summaries=[SUMMARY], sql_text="SELECT 1").model_dump(mode="json"))
    assert ReportDefinition.model_validate(definition.model_dump()) == definition


def test_dump_keeps_the_order_of_measures_in_its_digest() -> None:
    turned = {**SUMMARY, "measures": dict(reversed(SUMMARY["measures"].items()))}  # type: ignore[attr-defined]
    one, other = (define(summaries=[summary]).model_dump(mode="json") for summary in (SUMMARY, turned))
    assert digest(one) != digest(other)
