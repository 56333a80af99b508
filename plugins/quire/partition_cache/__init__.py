"""Partitions of a report's rows: freshness, the cache in the store, and reading rows back."""
