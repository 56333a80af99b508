"""Reads from PostgreSQL: a query's column types, and its rows as Arrow batches from a read-only snapshot.

transaction         the transaction; session_settings and keepalive configure its connection
partition_query     binds a query to a partition
copy_text           parses rows, which reader_thread receives; arrow_types and time_texts convert values
error_translation   translates PostgreSQL errors into Quire errors, with hints from grant_hints
search_path         finds roles that could redirect a query
query_hints         advice for ``quire check``
source_tables       looks up the listed tables; time_segments groups their rows by partition
row_versions        computes freshness tokens from the versions of rows
table_rewrites      detects statements that empty or rewrite a table during a read
table_coverage      finds the tables that a query reads
tracking            change tracking, installed in transactions that owner opens for the tables' owner
"""

from quire.postgres.transaction import SourceSession, SourceTransaction, open_transaction

__all__ = ["SourceSession", "SourceTransaction", "open_transaction"]
