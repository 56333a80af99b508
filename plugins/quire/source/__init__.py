"""PostgreSQL, read into Arrow: one read-only transaction, its columns' types, its rows as a stream."""

from quire.source import arrow_alone  # noqa: F401 - before those below
from quire.source.transaction import SourceSession, SourceTransaction, open_transaction

__all__ = ["SourceSession", "SourceTransaction", "open_transaction"]
