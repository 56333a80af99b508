"""Reads PostgreSQL into Arrow: one read-only snapshot, the types of a query's columns, and its rows as a stream."""

from quire.postgres import arrow_without_pandas  # noqa: F401 - before any use of Arrow
from quire.postgres.transaction import SourceSession, SourceTransaction, open_transaction

__all__ = ["SourceSession", "SourceTransaction", "open_transaction"]
