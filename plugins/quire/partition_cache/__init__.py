"""Caches partitions of a report's rows in the object store. Freshness tokens decide whether they are reusable."""
