"""Caches a report's partitions in the object store. Freshness tokens determine which partitions are reusable."""
