"""A report's query, its tables, and the detection of stale partitions."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from quire.report.definition.field_types import ConnectionId, Duration, Label
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error, value_kind

SOURCE_CONNECTION = "quire_source"
MAX_TIMEOUT = timedelta(days=24)  # slightly less than 2^31 milliseconds


class SourceTable(StrictModel):
    """A table that the query reads. A change to the table makes the affected cached partitions stale.

    If the table has no time column, a change makes all cached partitions stale.
    """

    name: Label
    time_column: Label | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Probe(StrictModel):
    """Detects changes with a single grouped query over a column that contains modification times."""

    probe: Label


Freshness = Annotated[
    Annotated[Literal["tracked", "versions", "always"], Tag("<word>")] | Annotated[Probe, Tag("<mapping>")],
    Discriminator(value_kind),
]


class Source(StrictModel):
    """The query, and the settings for its execution.

    Args:
        sql: the path to the query's file, relative to include/sql.
        time_column: the result column that determines a row's partition.
        tables: the tables that the query reads.
        connection: the Airflow connection ID.
        freshness: ``tracked``, ``versions``, ``always`` or a ``Probe``.
        parallel: the maximum number of concurrent extracts per run.
        timeout: the maximum duration for an extract.
    """

    sql: Label
    time_column: Label
    tables: tuple[SourceTable, ...] = ()
    connection: ConnectionId = SOURCE_CONNECTION
    freshness: Freshness = "always"
    parallel: int = Field(default=4, ge=1, le=64, strict=True)
    timeout: Duration = timedelta(minutes=30)

    @property
    def detects_table_changes(self) -> bool:
        """Whether freshness tokens are read from the listed tables, rather than from the query or not at all."""
        return self.freshness in ("tracked", "versions")

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        for name in find_duplicates(table.name for table in self.tables):
            raise field_error(f"{name} is listed twice", "tables")
        if self.timeout > MAX_TIMEOUT:
            raise field_error(
                f"must be at most {MAX_TIMEOUT.days}d, PostgreSQL's limit for statement_timeout", "timeout"
            )
        if self.detects_table_changes and not self.tables:
            reason = f"{self.freshness} requires source.tables: list the tables that the query reads"
            raise field_error(reason, "freshness")
        return self
