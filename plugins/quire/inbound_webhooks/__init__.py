"""Writes rows that webhooks deliver: each signed delivery is applied to a table exactly once, in any order.

webhook_definition   include/webhooks/<webhook>.yaml as a frozen model
webhook_files        finds these files, and rereads them when they change
json_path            ``data.items[0].sku``: the path of a value in a body
exact_json           JSON that keeps every digit of a number
signature            verifies Standard Webhooks signatures
event                parses a body into keys, time and values
merge                the state of a row, and how an event changes it
target               reads the types of the table's columns, and checks that rows can be written
statements           the SQL that writes rows
ingest               applies a delivery in one transaction
rejections           the responses to deliveries that are not applied
connection_cache     caches the URLs and secrets of connections
body_memory          limits the memory of unverified bodies
delivery_tables      installs and checks the tables that record deliveries
delivery_app         ``POST /<webhook>`` as an ASGI app
commands             ``quire hooks``
"""
