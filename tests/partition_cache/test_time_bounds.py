"""The earliest and latest times in a file come from the statistics or from the rows themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.object_store import Upload
from quire.object_store.s3_store import S3Store
from quire.partition_cache.time_bounds import cut_slices, row_time_bounds
from quire.record_types.stage_records import PartitionStatistics, RowSlice, StagedPartition

ZONE = "America/New_York"
KEY = "partitions/2013-01.parquet"
HOURS = 48


def slice_of(offset: int, rows: int, *, size: int = 1, checksums: str = "") -> RowSlice:
    return RowSlice(partition="2013-01", object_key=KEY, bytes=size, checksums=checksums, offset=offset, rows=rows)


@pytest.fixture
def stored(bucket: S3Store) -> Upload:
    """Stores a row for each of the 48 hours after midnight in New York, latest first."""
    first = dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)
    times = [first + dt.timedelta(hours=hour) for hour in reversed(range(HOURS))]
    table = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))})
    with bucket.open_upload(KEY) as upload:
        pq.write_table(table, upload, row_group_size=10)
    return upload


def staged(size: int, statistics: PartitionStatistics) -> Sequence[StagedPartition]:
    return [
        StagedPartition(
            key="2013-01", start=dt.date(2013, 1, 1), stop=dt.date(2013, 2, 1), object_key=KEY, rows=HOURS,
            bytes=size, sha256="0", freshness_token="t", statistics=statistics,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("skipped", "rows", "expected"),
    [(0, 5, [(10, 5)]), (3, 5, [(13, 2), (0, 3)]), (5, 7, [(0, 7)]), (0, 12, [(10, 5), (0, 7)]), (12, 0, [])],
)
def test_cut_slices_returns_the_requested_rows(skipped: int, rows: int, expected: list[tuple[int, int]]) -> None:
    cut = cut_slices([slice_of(10, 5), slice_of(0, 7)], skipped=skipped, rows=rows)
    assert [(part.offset, part.rows) for part in cut] == expected


@pytest.mark.parametrize(("offset", "rows"), [(0, HOURS), (3, 20), (47, 1), (9, 2)])
def test_row_times_are_the_first_and_last_in_the_report_time_zone(
    bucket: S3Store, stored: Upload, offset: int, rows: int
) -> None:
    part = slice_of(offset, rows, size=stored.bytes, checksums=stored.checksums)
    partitions = staged(stored.bytes, PartitionStatistics())  # records written by an older version have no statistics
    times = row_time_bounds([part], partitions, column="at", timezone=ZONE, store=bucket)
    midnight = dt.datetime.fromisoformat("2013-01-01T00:00:00-05:00")
    assert times is not None
    assert [time.isoformat() for time in times] == [
        (midnight + dt.timedelta(hours=hour)).isoformat() for hour in (HOURS - offset - rows, HOURS - offset - 1)
    ]


def test_row_times_of_a_whole_partition_are_its_statistics(bucket: S3Store) -> None:
    statistics = PartitionStatistics(earliest="2013-01-02T04:00:00+00:00", latest="2013-01-03T05:30:00.5+00:00")
    times = row_time_bounds([slice_of(0, HOURS)], staged(1, statistics), column="at", timezone=ZONE, store=bucket)
    assert times is not None  # although there is no object to read
    assert [time.isoformat() for time in times] == ["2013-01-01T23:00:00-05:00", "2013-01-03T00:30:00.500000-05:00"]


def test_row_times_in_a_repeated_hour_are_in_order(bucket: S3Store) -> None:
    statistics = PartitionStatistics(earliest="2013-10-27T00:50:00+00:00", latest="2013-10-27T01:10:00+00:00")
    times = row_time_bounds(
        [slice_of(0, HOURS)], staged(1, statistics), column="at", timezone="Europe/Berlin", store=bucket
    )
    assert times is not None
    assert [time.isoformat() for time in times] == ["2013-10-27T02:50:00+02:00", "2013-10-27T02:10:00+01:00"]


def test_row_times_of_dates_are_dates(bucket: S3Store) -> None:
    statistics = PartitionStatistics(earliest="2013-01-02", latest="2013-01-30")
    times = row_time_bounds([slice_of(0, HOURS)], staged(1, statistics), column="at", timezone=ZONE, store=bucket)
    assert times == (dt.date(2013, 1, 2), dt.date(2013, 1, 30))


def test_row_times_of_no_rows_are_none(bucket: S3Store) -> None:
    assert row_time_bounds([], (), column="at", timezone=ZONE, store=bucket) is None
