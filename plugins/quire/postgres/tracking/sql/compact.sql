-- Replaces the records of each bucket with their sum, in one statement: every snapshot sees either the old records or
-- the new one, with the same sum of n. Writers can append meanwhile. Concurrent compactions each sum the records that
-- they removed.
WITH removed AS (
    DELETE FROM quire.change_log
     WHERE ctid IN (SELECT place
                      FROM (SELECT ctid AS place, count(*) OVER (PARTITION BY relation, time_column, bucket) AS records
                              FROM quire.change_log) AS counted
                     WHERE records > 1)
    RETURNING relation, time_column, bucket, n
), summed AS (
    INSERT INTO quire.change_log (relation, time_column, bucket, n)
    SELECT relation, time_column, bucket, sum(n)::bigint FROM removed GROUP BY relation, time_column, bucket
    RETURNING 1
)
SELECT (SELECT count(*) FROM removed) - (SELECT count(*) FROM summed) AS removed;
