-- What is remembered of deliveries by webhook. `quire hooks install` runs this file in the database of a source's table, as
-- often as it likes. How it works: docs/how-to/receive-webhooks.md.
--
-- It needs the schema quire, owned by the role that runs it and by no other, and search_path = pg_catalog, pg_temp.

-- The deliveries that were taken, so that none is taken twice; each new one removes some that are older than 30 days.
CREATE TABLE IF NOT EXISTS quire.webhook_event (
    source      text        NOT NULL,
    event_id    text        NOT NULL,
    body_sha256 bytea       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, event_id)
);
CREATE INDEX IF NOT EXISTS webhook_event_received_at ON quire.webhook_event (received_at);

-- The newest that is known of every column of a row, and of which event; it stays, since an old event may always come.
-- Where applied is false, the row lacks a column that it must have, and waits for it.
CREATE TABLE IF NOT EXISTS quire.webhook_record (
    source     text        NOT NULL,
    key        text[]      NOT NULL,
    state      jsonb,
    applied    boolean     NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, key)
);
