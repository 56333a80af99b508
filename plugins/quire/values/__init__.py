"""Converts dates, times and numbers to text over PostgreSQL's full range, for all file writers.

unrepresentable_dates   single dates and times that Python and Excel cannot represent
date_columns            columns of dates and times, including unrepresentable ones
postgresql_text         columns as PostgreSQL prints them
"""
