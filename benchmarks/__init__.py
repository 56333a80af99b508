"""Benchmarks that run Quire and its peers on the same machine, because only ratios compare across machines."""
