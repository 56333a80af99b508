-- Change tracking for reports with "freshness: tracked". `quire track REPORT` runs this file as quire_owner and creates
-- the triggers; `quire untrack REPORT` removes everything. The file is idempotent. See docs/how-to/track-source-changes.md.
--
-- It requires the schema quire, owned by the role that runs it, and search_path = pg_catalog, pg_temp: unqualified
-- names are then PostgreSQL's own, even if other roles created objects in public.
--
-- Writers only append to the log. It has no counters to update and no unique index, so writers never wait for each
-- other.

-- A statement on this relation (a table or one of its partitions) changed n rows of a bucket. A bucket is the time
-- column truncated to the hour (timestamptz in UTC, timestamp and date unconverted). A NULL bucket affects every
-- partition.
CREATE TABLE IF NOT EXISTS quire.change_log (
    relation    regclass  NOT NULL,
    time_column name,
    bucket      timestamp,
    n           bigint    NOT NULL
);
-- Freshness tokens are sums over buckets of relations. The index is not unique, so writers never wait for each other.
-- CREATE INDEX IF NOT EXISTS would block writers even if the index exists.
DO $$
BEGIN
    IF to_regclass('quire.change_log_bucket') IS NULL THEN
        CREATE INDEX change_log_bucket ON quire.change_log (relation, bucket);
    END IF;
END
$$;

-- The tracked tables and their time columns. nodes are the table and all its partitions, sorted. The epoch is random.
-- It is replaced whenever changes may have been missed, so no earlier freshness token matches again.
CREATE TABLE IF NOT EXISTS quire.tracked_table (
    relation    regclass   NOT NULL,
    time_column name,
    column_type regtype,
    nodes       regclass[] NOT NULL,
    epoch       uuid       NOT NULL DEFAULT gen_random_uuid()
);

-- The reports that track a table. It stays tracked until the last of them is untracked.
CREATE TABLE IF NOT EXISTS quire.tracking (
    report      text     NOT NULL,
    relation    regclass NOT NULL,
    time_column name
);

CREATE OR REPLACE FUNCTION quire.bucket(moment timestamptz) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN pg_catalog.date_trunc('hour', moment AT TIME ZONE 'UTC');

CREATE OR REPLACE FUNCTION quire.bucket(moment timestamp) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN pg_catalog.date_trunc('hour', moment);

-- A date can be millions of years after the last timestamp. This must not make a write fail.
CREATE OR REPLACE FUNCTION quire.bucket(day date) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN least(day, date '294276-12-31')::timestamp;

-- For a column whose type changed: a NULL bucket, until the next `quire track`.
CREATE OR REPLACE FUNCTION quire.bucket(other anyelement) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT NULL::pg_catalog.timestamp $$;

-- Looks up the column when it runs, because a renamed column must not make a write fail.
CREATE OR REPLACE FUNCTION quire.bucket_expression(node oid, time_column name, prefix text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT pg_catalog.format('quire.bucket(%s%I)', prefix, attname) FROM pg_catalog.pg_attribute
          WHERE attrelid = node AND attname = time_column AND attnum > 0 AND NOT attisdropped),
        'NULL::timestamp')
$$;

-- Logs each row that a subscription applies, because logical replication fires no statement triggers. ENABLE REPLICA
-- keeps the trigger from firing for other writers.
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

-- Firing a trigger needs no privilege on its function, so no role needs EXECUTE.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA quire FROM PUBLIC;
