"""What a zone's clocks show at an instant, in every year that PostgreSQL has.

Polars knows no summer time from 2100 on (seen in 2.1.0), and Python no year before 1 or after 9999. The Gregorian
calendar repeats itself, weekdays too, every 400 years: an instant too late for Python has the offset of the same day
some cycles earlier. Before the year 1 every zone kept its mean local time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import polars as pl

DAY_MICROSECONDS = 86_400_000_000
CYCLE_DAYS = 146_097
INFINITE = (2**63 - 1, -(2**63) + 1, -(2**63))  # microseconds that stand for infinity, and for its opposite
YEAR_1, YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
_LAST_RULES = 4_102_444_800_000_000  # 2100-01-01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE = CYCLE_DAYS * DAY_MICROSECONDS


def wall_clock(instants: pl.Series, timezone: str) -> pl.Series:
    """Returns what a zone's clocks show, as microseconds since their 1970-01-01; infinities stay what they are."""
    import polars as pl  # not in Airflow's API server, whose pages show instants one by one

    physical = instants.to_physical()
    known = physical.is_between(YEAR_1 + 2 * DAY_MICROSECONDS, _LAST_RULES, closed="left").fill_null(value=True)
    inside = physical if known.all() else physical.set(~known, None)
    aware = inside.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(timezone)
    local = aware.dt.replace_time_zone(None).to_physical()
    if known.all():
        return local
    distinct = physical.filter(~known).unique()
    moved = pl.Series([_local(instant, timezone) for instant in distinct], dtype=pl.Int64)
    return physical.replace_strict(distinct, moved, default=local)


def offset_at(instant: int, timezone: str) -> int:
    """Returns how much a zone's clocks are ahead of UTC at an instant, both in microseconds."""
    within = max(instant, YEAR_1 + DAY_MICROSECONDS)
    last = YEAR_10000 - DAY_MICROSECONDS
    if within >= last:
        within = last - _CYCLE + (within - last) % _CYCLE
    found = (_EPOCH + timedelta(microseconds=within)).astimezone(ZoneInfo(timezone)).utcoffset()
    return (found or timedelta()) // timedelta(microseconds=1)


def _local(instant: int, timezone: str) -> int:
    if instant in INFINITE:
        return instant
    return max(min(instant + offset_at(instant, timezone), INFINITE[0] - 1), INFINITE[1] + 1)
