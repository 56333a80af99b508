"""Where a report's rows come from, and when stored ones are stale."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from quire.report.definition.field_types import ConnectionId, Duration, Label
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error, value_kind

SOURCE_CONNECTION = "quire_source"
MAX_TIMEOUT = timedelta(days=24)  # 2^31 milliseconds are some hours more


class SourceTable(StrictModel):
    """A table whose changes make stored partitions stale: those its rows lie in, or all without a time column."""

    name: Label
    time_column: Label | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Probe(StrictModel):
    """Freshness by one grouped query over a column of change times."""

    probe: Label


Freshness = Annotated[
    Annotated[Literal["tracked", "always"], Tag("<word>")] | Annotated[Probe, Tag("<mapping>")],
    Discriminator(value_kind),
]


class Source(StrictModel):
    """The query and how it may be run.

    Args:
        sql: the file, relative to include/sql.
        time_column: the result's column that places a row in its partition.
        tables: what the query reads.
        connection: Airflow connection id.
        freshness: ``tracked``, ``always`` or a ``Probe``.
        parallel: extracts of one run at a time.
        timeout: of one extract.
    """

    sql: Label
    time_column: Label
    tables: tuple[SourceTable, ...] = ()
    connection: ConnectionId = SOURCE_CONNECTION
    freshness: Freshness = "always"
    parallel: int = Field(default=4, ge=1, le=64, strict=True)
    timeout: Duration = timedelta(minutes=30)

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        for name in find_duplicates(table.name for table in self.tables):
            raise field_error(f"{name} is listed twice", "tables")
        if self.timeout > MAX_TIMEOUT:
            raise field_error(f"PostgreSQL's statement_timeout ends at {MAX_TIMEOUT.days}d", "timeout")
        if self.freshness == "tracked" and not self.tables:
            raise field_error("tracked needs the tables that the query reads, under source.tables", "freshness")
        return self
