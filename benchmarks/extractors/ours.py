"""Runs Quire's extract stage, from PostgreSQL to Parquet in S3: ``ours.py SQL TASKS``.

Reads the same environment variables as ``quire``. Takes only the date range from SQL, because the report defines the
query. TASKS is how many partitions to extract in parallel.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl  # noqa: F401 - plan would load it inside the measured time
from quire.allocator_settings import configure_process
from quire.date_range import DatePartition
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.report.catalog import find_definition
from quire.report.request import request_from_dates
from quire.settings import StoreSettings, include_folder, source_url
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from benchmarks.days import cut, days_of


def main(sql: str, tasks: int) -> None:
    definition = find_definition(include_folder(), "lineitem")
    first, stop = days_of(sql)
    request = request_from_dates(
        definition, start=first.isoformat(), end=first.isoformat(), parameters={}, run_id=str(time.time())
    )
    session = SourceSession(
        url=source_url(definition.source.connection), timezone="UTC", timeout=definition.source.timeout
    )
    store = S3Store(StoreSettings.from_environment())
    plan = plan_partitions(definition, request, session=session, store=store).plan

    def extract(days: tuple[date, date]) -> int:
        partition = DatePartition(key=f"{days[0]}_{days[1]}", start=days[0], stop=days[1], timezone="UTC")
        (staged,) = extract_partitions(definition, plan, [partition], session=session, store=store)
        return staged.rows

    started = time.perf_counter()
    with ThreadPoolExecutor(tasks) as pool:
        rows = sum(pool.map(extract, cut(first, stop, tasks)))
    print(f"{rows} rows")
    print(f"seconds {time.perf_counter() - started:.3f}")


if __name__ == "__main__":
    configure_process()
    main(sys.argv[1], int(sys.argv[2]))
