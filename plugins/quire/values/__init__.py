"""Dates, times and numbers as text, in every range that PostgreSQL has; file writers share it."""
