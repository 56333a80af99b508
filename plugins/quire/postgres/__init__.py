"""Reads a query's column types from PostgreSQL, and streams the query's rows into Arrow from a read-only snapshot."""

from quire.postgres import arrow_without_pandas  # noqa: F401 - before any use of Arrow
from quire.postgres.transaction import SourceSession, SourceTransaction, open_transaction

__all__ = ["SourceSession", "SourceTransaction", "open_transaction"]
