"""A DAG per report definition."""
