"""Dates, times and numbers as text, over PostgreSQL's full range; the file writers share it.

unrepresentable_dates   single dates and times that Python and Excel cannot represent
date_columns            columns of dates and times, those included
postgresql_text         columns as PostgreSQL prints them
"""
