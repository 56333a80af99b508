"""Partitions of a report's rows: cached in the store, validated, and read back."""
