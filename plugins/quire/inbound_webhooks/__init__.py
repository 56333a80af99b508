"""New rows by webhook: each signed delivery becomes a row of a table, applied exactly once and in any order.

webhook_definition   include/webhooks/<webhook>.yaml as a frozen model
webhook_files        finds, reads and rereads these files
json_path            ``data.items[0].sku``: the place of a value in a body
exact_json           JSON that keeps every digit of a number
signature            verifies Standard Webhooks signatures
event                a body as keys, time and values
merge                the state of a row, and how an event changes it
target               the table: the types of its columns, and whether rows can be written to it
statements           the SQL that writes rows
ingest               one delivery in one transaction
rejections           the answers to deliveries that are not applied
connection_cache     the URLs and secrets of connections
body_memory          limits the memory of unverified bodies
delivery_tables      installs and checks the tables that record deliveries
delivery_app         ``POST /<webhook>`` as an ASGI app
commands             ``quire hooks``
"""
