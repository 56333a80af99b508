-- Drops logging functions that no trigger uses any longer. Run by `quire track` and `quire untrack`.
DO $$
DECLARE
    idle regprocedure;
BEGIN
    FOR idle IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = 'quire'::regnamespace AND proname LIKE 'quire\_log\_%'
           AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = pg_proc.oid)
    LOOP
        EXECUTE 'DROP FUNCTION ' || idle;
    END LOOP;
END
$$;
