-- The role that Quire reads with. Run it as the database's owner, who may make roles, in the database of the reports, as
-- often as you like:
--
--     psql -d shop -f include/sql/quire/reader_role.sql
--     psql -d shop -c '\password quire_reader'
--
-- The role connects, and reads the tables of schema public, those of today and those that the same owner makes later.
-- For other schemas, repeat the last three statements. That it cannot write is a matter of what it was granted: read-only
-- transactions and timeouts are settings, and whoever is connected may change those.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quire_reader') THEN
        CREATE ROLE quire_reader LOGIN NOINHERIT CONNECTION LIMIT 64;  -- and none of what else a role may be
    END IF;
    -- PostgreSQL lets everybody connect to every database and make temporary tables there, which can fill the disk.
    -- Every other role that needs either must be granted it by name.
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO quire_reader', current_database());
END
$$;

-- Large objects are the other thing that everybody may make. Only a superuser may change that; for others this is a warning.
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
-- From PostgreSQL 15 on, this is so from the start.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT USAGE ON SCHEMA public TO quire_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO quire_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO quire_reader;
