-- The tables that record webhook deliveries. `quire hooks install` runs this file in the database of a webhook's table.
-- The file is idempotent. See docs/how-to/ingest-webhooks.md.
--
-- It requires the schema quire, owned by the role that runs it, and search_path = pg_catalog, pg_temp.

-- The applied deliveries, so none is applied twice. Each new delivery deletes some that are older than 30 days.
CREATE TABLE IF NOT EXISTS quire.webhook_event (
    source      text        NOT NULL,
    event_id    text        NOT NULL,
    body_sha256 bytea       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, event_id)
);
CREATE INDEX IF NOT EXISTS webhook_event_received_at ON quire.webhook_event (received_at);

-- The newest value of every column of a row, and the event that set it. Records are kept forever, because an old event
-- can arrive at any time. If applied is false, the row is not written yet because a required column is missing.
CREATE TABLE IF NOT EXISTS quire.webhook_record (
    source     text        NOT NULL,
    key        text[]      NOT NULL,
    state      jsonb,
    applied    boolean     NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, key)
);
