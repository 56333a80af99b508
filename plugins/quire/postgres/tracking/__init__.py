"""Change tracking: triggers that log when and where a table changed, and the tokens that are read from that log.

installation   installs and removes triggers and log, as the owner
triggers       those of a node, and the functions that they run
inspection     what PostgreSQL's catalogs say of the tables and their triggers
tokens         each partition's token, from the log
coverage       which tables a query reads
"""

from quire.postgres.tracking.coverage import forgotten_tables
from quire.postgres.tracking.installation import compact, compact_logs, track, untrack
from quire.postgres.tracking.tokens import ensure_tables_not_rewritten, tracked_tokens

__all__ = [
    "compact",
    "compact_logs",
    "ensure_tables_not_rewritten",
    "forgotten_tables",
    "track",
    "tracked_tokens",
    "untrack",
]
