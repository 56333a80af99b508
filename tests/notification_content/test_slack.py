"""After escaping for Slack, user input is neither markup nor a link, and Quire's own links still work."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from quire.notification_content import escape_slack, render_text, success_notification

from tests.notification_content.test_content import BASE, DEFINITION, REQUEST, RUN_ID, result, result_file

# According to its manual, Slack recognizes markup at word boundaries, URLs, mentions and emoji.
MARKUP = re.compile(r"(?<![0-9A-Za-z])([*_~`])\S(?:[^\n]*?\S)??\1(?![0-9A-Za-z])|<[^>]+>")
ADDRESS = re.compile(r"\w+://\S+|[\w-]+(?:\.[\w-]+)*\.(?:com|org|example|io|zip)\b")
MENTION = re.compile(r"(?<!\w)[@#]\w+|:[a-z0-9_+-]*[a-z][a-z0-9_+-]*:")


@pytest.mark.parametrize(
    "value",
    [
        "https://evil.example/login",
        "HTTP://evil.example",
        "slack://open",
        "sign in at evil.example/login",
        "a.b.evil.io",
        "report.xlsx.evil.com",
        "*approved by Finance*",
        "_approved_",
        "x ~struck~ x",
        "`code`",
        "a`b`c",
        "**both**",
        "*_~nested~_*",
        "@here",
        "#general",
        ":white_check_mark: done",
        ":+1:a:",
        "<!channel>",
        "<https://evil.example|Sign in>",
        "&lt;!channel&gt;",
    ],
)
def test_escape_slack_parameter_value_is_neither_markup_nor_link(value: str) -> None:
    line = escape_slack(f"Airline: {value}")
    assert not MARKUP.search(line)
    assert not ADDRESS.search(line)
    assert not MENTION.search(line)
    visible = line.replace("\u200b", "").translate(str.maketrans("\u2217\u02cd\u223c\u02cb", "*_~`"))
    entities = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert visible == f"Airline: {entities}"


@pytest.mark.parametrize(
    "text",
    [
        "Date range: 2013-01-01 to 2013-01-31",
        "Time zone: America/New_York",
        "flights_2013-01-01_2013-01-31_summary.xlsx (3 rows, 1.5 kB)",
        "Mean delay: 12.5",
        "read at 06:00:00.25",
    ],
)
def test_escape_slack_ordinary_text_is_unchanged(text: str) -> None:
    assert escape_slack(text) == text


def test_escape_slack_keeps_own_links_but_no_typed_ones() -> None:
    published = result(rows=3, files=(result_file("a_b_.xlsx", rows=3, bytes=1000),))
    request = replace(REQUEST, parameters={"carrier": "A\n  https://evil.example/login"})
    text = render_text(success_notification(DEFINITION, request, published, run_id=RUN_ID, base_url=BASE))
    links = [line for line in escape_slack(text).splitlines() if ADDRESS.search(line)]
    assert links == [
        f"  {BASE}/quire/reports/flights/published/ab12/a_b_.xlsx",
        f"  {BASE}/quire/reports/flights/runs/manual__2013-02-01T06%3A00%3A00%2B00%3A00",
    ]
    assert "Airline: A https:\u200b//evil.\u200bexample/login" in escape_slack(text)


def test_escape_slack_hostile_text_takes_linear_time() -> None:
    for piece in (":", ":a", "a.", "_", "a_", "@", "://", "  https://"):
        text = piece * (100_000 // len(piece))
        assert len(escape_slack(text)) >= len(text)
