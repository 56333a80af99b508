"""PostgreSQL, read into Arrow: one read-only transaction, its columns' types, its rows as a stream."""

from quire.postgres import arrow_without_pandas  # noqa: F401 - before those below
from quire.postgres.transaction import SourceSession, SourceTransaction, open_transaction

__all__ = ["SourceSession", "SourceTransaction", "open_transaction"]
