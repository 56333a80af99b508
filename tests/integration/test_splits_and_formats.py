"""In every format and with every split, the files contain each row once, in order, with PostgreSQL's values."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.parquet as pq
import pytest
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal.run_contents import file_views
from quire.record_types.stage_records import RenderedFile
from quire.runs.file_names import is_summary
from quire.runs.verify import verify_run

from tests.events import ZONE, events_report, fill_events, fill_many_events, request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server

COUNT, MAX_ROWS = 3_000, 700
# Three months of rows with NULLs and with numbers of every magnitude that a cell, a decimal or a float can hold
FILL = f"""
INSERT INTO events
SELECT n,
       timestamptz '2013-01-01 00:00 America/New_York' + n * interval '43 minutes 7 seconds',
       CASE WHEN n % 11 > 0 THEN chr(97 + n % 5) END,
       CASE WHEN n % 7 > 0 THEN (n::bigint * 7919 % 1000003 - 300000) * 1000 / 100.0 + n * 0.01 END,
       CASE WHEN n % 13 > 0 THEN n * 0.000001 END,
       CASE WHEN n % 3 > 0 THEN 'note "' || n || '", said' || chr(10) || 'twice' WHEN n % 2 > 0 THEN '' END
FROM generate_series(0, {COUNT - 1}) n
"""
SPLITS: dict[str, tuple[Any, list[str]]] = {
    "partition": ("partition", ["2013-01", "2013-02", "2013-03"]),
    "none": ("none", ["2013-01-01_2013-03-31"]),
    "rows": ({"rows": MAX_ROWS}, ["1", "2", "3", "4", "5"]),
}
COLUMNS = [
    {"name": "id", "title": "Number"},
    {"name": "at", "title": "When"},
    {"name": "kind", "title": "Kind"},
    {"name": "amount", "title": "Amount", "total": "sum"},
    {"name": "weight", "title": "Weight"},
    {"name": "ratio", "title": "Ratio"},
    {"name": "note", "title": "Note"},
]
SELECT = (
    "SELECT id, at, kind, amount, weight, sin(id) * 10.0::float8 ^ (mod(id, 20) - 5) AS ratio, note FROM public.events"
)
Row = Sequence[Any]


def read_csv(store: S3Store, file: RenderedFile) -> list[Row]:
    """Parses a CSV file's rows, and converts numbers and times."""
    body = store.read(file.key)
    assert body is not None
    header, *lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    assert header == [column["title"] for column in COLUMNS]
    return [
        [
            int(number),
            dt.datetime.fromisoformat(when),
            kind or None,
            Decimal(amount) if amount else None,
            Decimal(weight) if weight else None,
            float(ratio),
            note,  # this reader cannot distinguish NULL from an empty string
        ]
        for number, when, kind, amount, weight, ratio, note in lines
    ]


def read_parquet(store: S3Store, file: RenderedFile) -> list[Row]:
    body = store.read(file.key)
    assert body is not None
    table = pq.read_table(io.BytesIO(body))
    assert table.schema.names == [column["name"] for column in COLUMNS]
    return [
        [number, when, kind, amount, None if weight is None else Decimal(weight), ratio, note or ""]
        for number, when, kind, amount, weight, ratio, note in (row.values() for row in table.to_pylist())
    ]


def read_xlsx(store: S3Store, file: RenderedFile) -> list[Row]:
    header, *lines, totals = sheet_rows(open_workbook(store, file.key), "Events")
    assert header == [column["title"] for column in COLUMNS]
    rows: list[Row] = [
        [
            int(number),
            timestamp(when),
            kind or None,
            exact(amount),
            exact(weight),
            ratio,
            note,
        ]
        for number, when, kind, amount, weight, ratio, note in lines
    ]
    amounts = [row[3] for row in rows if row[3] is not None]
    assert totals[3] == float(sum(amounts))
    return rows


def timestamp(when: dt.date) -> dt.datetime:
    """Converts a cell's time to a timestamp. The reader returns midnight as a date."""
    clock = when.time() if isinstance(when, dt.datetime) else dt.time()
    return dt.datetime.combine(when, clock, tzinfo=ZoneInfo(ZONE))


def exact(number: float | str) -> Decimal | None:
    """Returns the shortest decimal number that equals a cell's number."""
    return Decimal(repr(number)) if isinstance(number, float) else None


READERS = {"csv": read_csv, "parquet": read_parquet, "xlsx": read_xlsx}


def expected_rows(url: str) -> list[Row]:
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{ZONE}'")
        rows = connection.execute(f"{SELECT} WHERE at < '2013-04-01' ORDER BY at, id").fetchall()
    return [[*row[:-1], row[-1] or ""] for row in rows]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("file_format", READERS)
def test_split_in_format_equals_the_rows_in_postgresql(
    tmp_path: Path, fresh_database: str, bucket: S3Store, split: str, file_format: str
) -> None:
    fill_events(fresh_database, [])
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(FILL)
    workbook, stems = SPLITS[split]
    definition = events_report(
        tmp_path,
        sql=f"{SELECT} WHERE at >= %(start)s AND at < %(end)s ORDER BY at, id\n",
        workbook={"split": workbook, "formats": [file_format]},
        columns=COLUMNS,
    )
    session = session_of(fresh_database)
    manifest = run_report(definition, request_of(definition), session=session, store=bucket).published.manifest
    files = [file for file in manifest.files if not is_summary(file)]
    assert [file.name for file in files] == [f"events_{stem}.{file_format}" for stem in stems]
    parts = [READERS[file_format](bucket, file) for file in files]
    expected = expected_rows(fresh_database)
    assert [len(part) for part in parts] == [file.rows for file in files]
    assert [row for part in parts for row in part] == expected
    assert manifest.rows == len(expected) == COUNT
    if split == "rows":
        assert [file.rows for file in files] == [MAX_ROWS] * 4 + [COUNT - 4 * MAX_ROWS]
    assert verify_run(manifest.run, store=bucket).problems == ()


def test_files_of_a_split_by_rows_have_first_and_last_row_times(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_many_events(fresh_database, 999, minutes=60)
    definition = events_report(tmp_path, workbook={"split": {"rows": 400}, "formats": ["xlsx", "csv"]})
    request = request_of(definition, end="2013-01-31")
    manifest = run_report(definition, request, session=session_of(fresh_database), store=bucket).published.manifest
    *files, summary = manifest.files
    ends = [(file.name, file.earliest, file.latest, file.start.isoformat(), file.end.isoformat()) for file in files]
    times = [("2013-01-05T04:00:00-05:00", "2013-01-21T19:00:00-05:00", "2013-01-05", "2013-01-21"),
             ("2013-01-21T20:00:00-05:00", "2013-01-31T23:00:00-05:00", "2013-01-21", "2013-01-31")]  # fmt: skip
    assert ends == [
        (f"events_{number}.{suffix}", *of_file) for number, of_file in enumerate(times, 1) for suffix in ("xlsx", "csv")
    ]
    for file in files:
        if file.name.endswith(".csv"):
            rows = list(csv.reader(io.StringIO((bucket.read(file.key) or b"").decode("utf-8-sig"))))[1:]
            assert [row[0][:16] for row in (rows[0], rows[-1])] == [
                (time or "")[:16].replace("T", " ") for time in (file.earliest, file.latest)
            ]
    index = sheet_rows(open_workbook(bucket, summary.key), "Files")
    header = next(place for place, row in enumerate(index) if row[0] == "File")
    assert index[header][3:5] == ["First row", "Last row"]
    assert [row[3].isoformat() for row in index[header + 1 :]] == [
        of_file[0][:19] for of_file in times for _ in ("xlsx", "csv")
    ]
    views = file_views(manifest, "")
    assert [(view.earliest, view.latest) for view in views] == [
        *((file.earliest, file.latest) for file in files), (None, None),
    ]  # fmt: skip


def test_all_formats_of_one_run_contain_the_same_rows(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database, [])
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(FILL)
    definition = events_report(
        tmp_path,
        sql=f"{SELECT} WHERE at >= %(start)s AND at < %(end)s ORDER BY at, id\n",
        workbook={"split": {"rows": MAX_ROWS}, "formats": list(READERS)},
        columns=COLUMNS,
    )
    session = session_of(fresh_database)
    manifest = run_report(definition, request_of(definition), session=session, store=bucket).published.manifest
    expected = expected_rows(fresh_database)
    for file_format, read in READERS.items():
        files = [file for file in manifest.files if file.name.endswith(f".{file_format}") and file.rows]
        assert [row for file in files for row in read(bucket, file)] == expected


def test_requested_formats_replace_those_of_the_definition(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"split": "none", "formats": ["xlsx"]})
    request = replace(request_of(definition), formats=("csv", "parquet"))
    session = session_of(fresh_database)
    manifest = run_report(definition, request, session=session, store=bucket).published.manifest
    assert [file.name.rpartition(".")[2] for file in manifest.files] == ["csv", "parquet", "xlsx"]
    assert [is_summary(file) for file in manifest.files] == [False, False, True]
