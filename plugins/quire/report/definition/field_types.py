"""Types for single fields: names, text, durations, time zones, cron expressions and windows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from quire.date_range import Grain, zone, zone_names
from quire.errors import RangeError, short_repr
from quire.number_formats.validation import problem_of
from quire.report.definition.name_checks import suggestion

DURATION = re.compile(r"(\d{1,6})\s*([smhd])")
DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# Other names are derived from a report's name: the flights__store DAG caches partitions of flights in advance, and
# flights_partitions is an asset.
REPORT_NAME = r"(?!.*__)(?!.*_partitions$)[a-z][a-z0-9_]*"
WINDOW = re.compile(r"([1-9]\d{0,3}) (day|week|month|quarter|year)s?")
MAX_CRON_LENGTH = 500  # in characters; a cron expression that lists every value in every field is 400 characters long
MAX_FAN_OUT = timedelta(minutes=10)  # a longer run in one task would repeat too much work after a failure
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def default_title(name: str) -> str:
    """Returns the default title for a name: ``mean_delay`` becomes ``Mean delay``."""
    words = " ".join(name.replace("_", " ").split())
    return words[:1].upper() + words[1:]


def title_from_name(fields: dict[str, Any]) -> str:
    """Returns the default title for a model's validated fields, for a pydantic ``default_factory``."""
    return default_title(fields.get("name", ""))


def _matching(pattern: str, requirement: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"is {short_repr(text)}: {requirement}")
        return text

    return check


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if CONTROL.search(text):
        raise ValueError(f"is {text[:40]!r}: write a single line without control characters")
    return text


def _format_code(code: str) -> str:
    if problem := problem_of(code):
        raise ValueError(f"is {short_repr(code)}: {problem}")
    return code


def _expression(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text.strip()


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match or not int(match[1]):
        raise ValueError(f"is {short_repr(value)}: write a duration such as 45s, 30m, 1h or 90d")
    return timedelta(**{DURATION_UNITS[match[2]]: int(match[1])})


def parse_fan_out(value: Any) -> Any:
    """Returns ``always``, or the estimated work above which a run fans out into several tasks, as a timedelta.

    Raises:
        ValueError: the value is neither.
    """
    if value == "always":
        return value
    try:
        limit = _duration(value)
    except ValueError as error:
        raise ValueError(f"is {short_repr(value)}: write always, or a duration such as 5s") from error
    if limit > MAX_FAN_OUT:
        raise ValueError(f"is {short_repr(value)}: must be at most {MAX_FAN_OUT.seconds // 60}m")
    return limit


def _zone(name: str) -> str:
    try:
        return str(zone(name))
    except RangeError as error:
        hint = suggestion(name, zone_names())
        raise ValueError(f"is {short_repr(name)}: use an IANA time zone such as Europe/Berlin{hint}") from error


def _cron(text: str) -> str:
    from croniter import croniter  # imported only for definitions with a schedule

    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            f"is {short_repr(text)}: expected five fields (minute hour day month weekday), not {len(fields)}"
        )
    try:
        croniter(text, datetime(2024, 1, 1, tzinfo=UTC)).get_next()
    except (ValueError, KeyError) as error:
        raise ValueError(f"is {short_repr(text)}: {str(error).rstrip('.')}") from error
    return text


def _window(text: str) -> str:
    match = WINDOW.fullmatch(text)
    if not match:
        raise ValueError(f"is {short_repr(text)}: write a number of periods, such as 1 month, 7 days or 2 quarters")
    return f"{match[1]} {match[2]}{'s' if match[1] != '1' else ''}"


def parse_window(window: str) -> tuple[int, Grain]:
    """Returns the number of periods in a valid window, and the length of each."""
    count, _, grain = window.partition(" ")
    return int(count), Grain(grain.rstrip("s"))


ReportName = Annotated[
    str,
    Field(max_length=100),
    AfterValidator(
        _matching(
            REPORT_NAME,
            "use lowercase letters, digits and single underscores; start with a letter, and do not end in _partitions",
        )
    ),
]
ParameterName = Annotated[
    str,
    AfterValidator(
        _matching(r"[a-z_][a-z0-9_]*", "use lowercase letters, digits and underscores, and do not start with a digit")
    ),
]
ConnectionId = Annotated[
    str,
    AfterValidator(_matching(r"[A-Za-z0-9_.-]+", "use letters, digits, underscores, dots and hyphens")),
]
Address = Annotated[
    str, AfterValidator(_matching(r"[^@\s<>,;]+@[^@\s<>,;]+", "write an e-mail address such as ops@example.org"))
]
ClassPath = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+",
            "write the full path of a class, such as airflow.providers.slack.notifications.slack.SlackNotifier",
        )
    ),
]
Prose = Annotated[str, Field(max_length=2000), AfterValidator(lambda text: " ".join(text.split()))]
Expression = Annotated[str, Field(max_length=2000), AfterValidator(_expression)]
Label = Annotated[str, Field(max_length=255), AfterValidator(_one_line)]
"""A column name, header or Excel format code of at most 255 characters, which is the limit for headers in Excel."""
FormatCode = Annotated[Label, AfterValidator(_format_code)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
FanOut = Annotated[Literal["always"] | timedelta, BeforeValidator(parse_fan_out)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Cron = Annotated[str, Field(max_length=MAX_CRON_LENGTH), AfterValidator(_cron)]
Window = Annotated[str, AfterValidator(_window)]
