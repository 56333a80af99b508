"""Provides transactions that let a test observe queries, or act before or after a query."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pyarrow as pa
from quire.postgres import SourceSession, SourceTransaction
from quire.record_types.stage_records import SourceColumn
from quire.report.sql_template import Statement

Query = Callable[[str, list[dict[str, Any]]], None]
Streaming = Callable[[SourceTransaction], object]


def observed_session(
    session: SourceSession, *, after_query: Query | None = None, before_stream: Streaming | None = None
) -> SourceSession:
    """Returns a session whose transactions call functions between their queries.

    Args:
        session: the session.
        after_query: a function that receives each of Quire's own queries and its rows.
        before_stream: a function that receives the transaction before the transaction first streams rows.
    """

    class ObservedTransaction(SourceTransaction):
        has_streamed = False

        def fetch_own(self, sql: str) -> list[dict[str, Any]]:
            rows = super().fetch_own(sql)
            if after_query:
                after_query(sql, rows)
            return rows

        def stream(self, sql: str | Statement, columns: tuple[SourceColumn, ...]) -> Generator[pa.RecordBatch]:
            if before_stream and not self.has_streamed:
                self.has_streamed = True
                before_stream(self)
            yield from super().stream(sql, columns)

    return replace(session, transaction_class=ObservedTransaction)


def reads_tokens(sql: str) -> bool:
    """Returns whether a query reads freshness tokens."""
    return "FROM quire.readable_changes" in sql
