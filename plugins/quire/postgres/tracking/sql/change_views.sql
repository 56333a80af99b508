-- The readers' views of the change log. `quire track` runs this file only if the views are missing or were created by a
-- different version of it, because replacing a view waits for its readers.

-- A role sees the changes only of tables that it can read.
CREATE OR REPLACE VIEW quire.readable_tables WITH (security_barrier) AS
    SELECT relation, time_column, column_type, nodes, epoch
      FROM quire.tracked_table
     WHERE has_any_column_privilege(relation, 'SELECT');

CREATE OR REPLACE VIEW quire.readable_changes WITH (security_barrier) AS
    SELECT relation, time_column, bucket, n
      FROM quire.change_log
     WHERE relation IN (SELECT unnest(nodes) FROM quire.tracked_table WHERE has_any_column_privilege(relation, 'SELECT'));
