-- Drops the objects that change_log.sql created. Run by `quire untrack` for the last report, after views and triggers.
DROP TABLE quire.tracking, quire.tracked_table, quire.change_log;
DROP FUNCTION IF EXISTS quire.log_statement();  -- created by an earlier version
DROP FUNCTION quire.log_row(), quire.bucket_expression(oid, name, text),
    quire.bucket(timestamptz), quire.bucket(timestamp), quire.bucket(date), quire.bucket(anyelement);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'quire'::regnamespace) THEN  -- of webhooks.sql
        DROP SCHEMA quire;
    END IF;
END
$$;
