-- For every statement on a node, with the rows that it touched: one function for each time column, in whose place
-- `quire track` puts {function}, {column} (its name as a text), and {new} and {old} (the buckets of the rows that came
-- and went). PostgreSQL plans its statements once for each session and node; a text that is built anew for each write
-- would be planned each time, which costs the most of all.
--
-- Every name has its schema, and the function a search_path of its own: it runs with the owner's rights, whatever the
-- writer's search_path is.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A column that was renamed since must not make anybody's write fail: its rows are everywhere.
    IF TG_OP OPERATOR(pg_catalog.=) 'TRUNCATE' OR {column} IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS known
         WHERE known.attrelid OPERATOR(pg_catalog.=) TG_RELID AND known.attname OPERATOR(pg_catalog.=) {column}
           AND NOT known.attisdropped)
    THEN
        INSERT INTO quire.change_log (relation, time_column, bucket, n) VALUES (TG_RELID, {column}, NULL, 1);
    ELSIF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        INSERT INTO quire.change_log (relation, time_column, bucket, n)
        SELECT TG_RELID, {column}, touched.bucket, pg_catalog.count(*)
          FROM (SELECT {new} FROM new_rows) AS touched (bucket) GROUP BY touched.bucket;
    ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        INSERT INTO quire.change_log (relation, time_column, bucket, n)
        SELECT TG_RELID, {column}, touched.bucket, pg_catalog.count(*)
          FROM (SELECT {old} FROM old_rows) AS touched (bucket) GROUP BY touched.bucket;
    ELSE
        INSERT INTO quire.change_log (relation, time_column, bucket, n)
        SELECT TG_RELID, {column}, touched.bucket, pg_catalog.count(*)
          FROM (SELECT {old} FROM old_rows UNION ALL SELECT {new} FROM new_rows) AS touched (bucket)
         GROUP BY touched.bucket;
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION {function}() FROM PUBLIC;
