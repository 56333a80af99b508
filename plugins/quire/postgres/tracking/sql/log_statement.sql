-- Logs each statement on a node and the rows that it changed. There is one function per time column: `quire track`
-- replaces the placeholders with the function's name, the column's name as a literal, and the buckets of new and old
-- rows. PostgreSQL plans the function's statements once per session and node. Dynamic SQL would be planned for every
-- write, which costs more than everything else.
--
-- The function runs with its owner's privileges. It therefore sets its own search_path and qualifies every name.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A renamed column must not make a write fail: its changes get a NULL bucket, which affects every partition.
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
