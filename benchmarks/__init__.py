"""Benchmarks that run Quire and its peers on one machine, because only ratios can be compared across machines."""
