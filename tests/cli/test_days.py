"""``quire run`` requires both dates or neither; without dates, it selects the last complete window."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from quire.date_range import Grain, complete_window

from tests.cli.command import error_line, quire

pytestmark = pytest.mark.server


def test_run_without_dates_covers_the_last_complete_window(quire_environment: dict[str, str]) -> None:
    before = datetime.now(UTC)
    done = quire(quire_environment, "run", "flights", "--param", "carrier=HA", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    windows = {
        (days.start.isoformat(), days.end.isoformat())
        for moment in (before, datetime.now(UTC))
        for days in [complete_window(1, Grain.MONTH, before=moment, timezone="America/New_York")]
    }
    assert (result["start"], result["end"]) in windows


@pytest.mark.parametrize("option", ["--start", "--end"])
def test_run_with_only_one_date_is_rejected(quire_environment: dict[str, str], option: str) -> None:
    line = "quire: flights: set both --start and --end, or omit both to use the last complete window"
    assert error_line(quire_environment, "run", "flights", option, "2013-01-01") == (2, line)
