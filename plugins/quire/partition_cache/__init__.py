"""Partitions of a report's rows: freshness tokens, the cache in the object store, and reading cached rows."""
