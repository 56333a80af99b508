"""Caches partitions of a report's rows in the object store. Freshness tokens decide which partitions are reusable."""
