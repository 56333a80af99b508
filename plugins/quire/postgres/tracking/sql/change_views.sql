-- What readers see of the change log. `quire track` runs this only where the views are missing, or were made by another
-- text than this one: replacing a view waits for everybody who reads it.

-- Who reads a table may see when and how much of it changed, and nothing of other tables.
CREATE OR REPLACE VIEW quire.readable_tables WITH (security_barrier) AS
    SELECT relation, time_column, column_type, nodes, epoch
      FROM quire.tracked_table
     WHERE has_any_column_privilege(relation, 'SELECT');

CREATE OR REPLACE VIEW quire.readable_changes WITH (security_barrier) AS
    SELECT relation, time_column, bucket, n
      FROM quire.change_log
     WHERE relation IN (SELECT unnest(nodes) FROM quire.tracked_table WHERE has_any_column_privilege(relation, 'SELECT'));
