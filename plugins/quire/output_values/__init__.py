"""Converts dates, times and numbers across PostgreSQL's full range for all file writers.

unrepresentable_dates   converts individual dates and times that Python or Excel cannot represent
date_columns            converts columns of dates and times to local times and to periods
postgresql_text         converts columns to text as PostgreSQL prints it
polars_series           converts Arrow columns to Polars series
"""
