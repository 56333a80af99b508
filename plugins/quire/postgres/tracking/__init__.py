"""Tracks changes: triggers log which parts of a table have changed, and freshness tokens are computed from this log.

installation   installs and removes tracking as the tables' owner
triggers       creates and drops the triggers on a table or partition, and the functions that they execute
arrived_rows   logs the rows in a partition that was attached after tracking began
inspection     reads table and trigger states from PostgreSQL's catalogs
tokens         computes each partition's freshness token from the log

Code that only reads tokens needs psycopg2 but not psycopg, so this file does not import the package's modules.
"""
