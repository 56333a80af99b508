-- Change tracking for reports with "freshness: tracked". `quire track REPORT` runs this file as quire_owner, as often as
-- it likes, and adds the triggers; `quire untrack REPORT` takes everything away again. How it works: docs/how-to/track-changes.md.
--
-- It needs the schema quire, owned by the role that runs it and by no other, and search_path = pg_catalog, pg_temp: then
-- names without a schema are PostgreSQL's own, whatever others have created in public.
--
-- Writers only ever append to the log: there is no counter to update and no unique index, so none waits for another.

-- n rows of a bucket were touched by a statement on that very relation: a table, or one of its partitions. A bucket is
-- the time column cut to its hour (timestamptz in UTC, timestamp and date as they stand); NULL is everywhere.
CREATE TABLE IF NOT EXISTS quire.change_log (
    relation    regclass  NOT NULL,
    time_column name,
    bucket      timestamp,
    n           bigint    NOT NULL
);
-- Tokens are sums over some buckets of a few relations. Not unique, so that no writer waits for another. With IF NOT
-- EXISTS alone, CREATE INDEX would lock the log against writers even where the index is there.
DO $$
BEGIN
    IF to_regclass('quire.change_log_bucket') IS NULL THEN
        CREATE INDEX change_log_bucket ON quire.change_log (relation, bucket);
    END IF;
END
$$;

-- What is tracked, and by which column: nodes are the table itself and all its partitions, sorted. The epoch is drawn
-- when tracking begins, and anew whenever changes may have gone unseen: no token of before is met again.
CREATE TABLE IF NOT EXISTS quire.tracked_table (
    relation    regclass   NOT NULL,
    time_column name,
    column_type regtype,
    nodes       regclass[] NOT NULL,
    epoch       uuid       NOT NULL DEFAULT gen_random_uuid()
);

-- Which report asked for it: what two reports track stays until both are untracked.
CREATE TABLE IF NOT EXISTS quire.tracking (
    report      text     NOT NULL,
    relation    regclass NOT NULL,
    time_column name
);

CREATE OR REPLACE FUNCTION quire.bucket(moment timestamptz) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN pg_catalog.date_trunc('hour', moment AT TIME ZONE 'UTC');

CREATE OR REPLACE FUNCTION quire.bucket(moment timestamp) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN pg_catalog.date_trunc('hour', moment);

-- A date may lie millions of years after the last timestamp: no write may fail for that.
CREATE OR REPLACE FUNCTION quire.bucket(day date) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN least(day, date '294276-12-31')::timestamp;

-- A column that was given another type since: everywhere, until `quire track` looks again.
CREATE OR REPLACE FUNCTION quire.bucket(other anyelement) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT NULL::pg_catalog.timestamp $$;

-- Of a node's column as it is now: a column that was renamed since must not make anybody's write fail.
CREATE OR REPLACE FUNCTION quire.bucket_expression(node oid, time_column name, prefix text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT pg_catalog.format('quire.bucket(%s%I)', prefix, attname) FROM pg_catalog.pg_attribute
          WHERE attrelid = node AND attname = time_column AND attnum > 0 AND NOT attisdropped),
        'NULL::timestamp')
$$;

-- For every row that a subscription applies: logical replication fires no trigger for statements. ENABLE REPLICA keeps
-- it from firing for anybody else.
CREATE OR REPLACE FUNCTION quire.log_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    time_column CONSTANT name := TG_ARGV[0];
    bucket CONSTANT text := quire.bucket_expression(TG_RELID, time_column, '($1).');
    found timestamp;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        EXECUTE 'SELECT ' || bucket INTO found USING OLD;
        INSERT INTO quire.change_log (relation, time_column, bucket, n) VALUES (TG_RELID, time_column, found, 1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        EXECUTE 'SELECT ' || bucket INTO found USING NEW;
        INSERT INTO quire.change_log (relation, time_column, bucket, n) VALUES (TG_RELID, time_column, found, 1);
    END IF;
    RETURN NULL;
END
$$;

-- Triggers run it for whoever writes; nobody else needs to.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA quire FROM PUBLIC;
