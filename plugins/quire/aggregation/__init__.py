"""Computes summaries, which are grouped measures over a run's rows, by merging partial summaries of its partitions."""
