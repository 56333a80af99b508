"""New rows by webhook: a signed delivery becomes a row of a table, once, whatever the order in which they come.

definition    include/webhooks/<source>.yaml as a frozen model
sources       these files, found and read
json_path     data.items[0].sku: where a body has a value
exact_json    JSON whose numbers stay what they are
signature     is it from whom it says, and of now? (Standard Webhooks)
event         a body -> keys, time and values
merge         what is known of a key, and what an event adds to it
target        the table: its columns' types, and whether rows can be written to it
statements    the SQL that writes them
ingest        one delivery, one transaction
refusals      what a delivery is answered when it is not taken, and PostgreSQL's errors as such
lookup        what its connections say: addresses and secrets
installation  the tables behind it, and what ``quire check`` looks at
app           POST /<source>, as an ASGI app
commands      ``quire hooks``
"""
