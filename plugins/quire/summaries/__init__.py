"""Summaries: measures over the stored rows, merged from partial results."""
