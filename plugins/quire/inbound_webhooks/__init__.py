"""Writes rows that webhooks deliver. Deliveries are signed, may arrive in any order, and are applied exactly once.

webhook_definition   include/webhooks/<webhook>.yaml as a frozen model
webhook_files        finds these files and rereads them when they change
json_path            finds a value in a body by a path such as ``data.items[0].sku``
exact_json           parses and writes JSON without losing digits
signature            verifies Standard Webhooks signatures
event                parses a body into keys, time and values
merge                merges events into a row's state
target               reads the table's column types and checks that rows can be written
statements           builds the SQL that writes rows
ingest               applies a delivery in one transaction
rejections           the error responses to deliveries that are not applied
connection_cache     caches connection URLs and secrets
body_memory          limits the memory used by unverified bodies
delivery_tables      installs and checks the tables that record deliveries
delivery_app         the ASGI app that serves ``POST /<webhook>``
commands             the ``quire hooks`` commands
"""
