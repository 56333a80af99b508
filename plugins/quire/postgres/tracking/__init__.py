"""Change tracking: triggers log when and where a table changed, and freshness tokens are computed from that log.

installation   installs and removes tracking as the tables' owner
triggers       creates and drops the triggers of a table or partition, and the functions they execute
arrived_rows   logs the rows of a partition that was attached after tracking began
inspection     reads the state of tables and their triggers from PostgreSQL's catalogs
tokens         computes each partition's freshness token from the log
coverage       finds the tables that a query reads

Reading tokens needs psycopg2 only, so this package imports none of its own modules.
"""
