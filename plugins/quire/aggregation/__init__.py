"""Summaries: grouped measures over the rows of a run, merged from partial summaries of its partitions."""
