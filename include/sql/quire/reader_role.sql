-- Creates quire_reader, the role that Quire reads with, and grants it what it needs. It revokes nothing: no other role
-- gains or loses a right. Run it with psql as the owner of the database, who may create roles, as often as you like:
--
--     psql -d shop -f include/sql/quire/reader_role.sql                                  schema public
--     psql -d shop -v schemas='sales, archive' -f include/sql/quire/reader_role.sql      other schemas
--     psql -d shop -c '\password quire_reader'
--
-- The role may connect, and may read the tables of these schemas: those that exist and those that the same owner creates
-- later. It cannot write because no right to write was granted to it; read-only transactions and timeouts are settings,
-- which every session may change. What PostgreSQL grants to every role (PUBLIC), it has too: harden_database.sql takes
-- that away, from all roles.

\set ON_ERROR_STOP on
\if :{?schemas}
\else
    \set schemas public
\endif
SET quire.reader_schemas = :'schemas';

-- Every name has its schema: this runs as the owner, and others may be allowed to create functions in public.
DO $$
DECLARE
    words pg_catalog.text[];
    schema_name pg_catalog.text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'quire_reader') THEN
        CREATE ROLE quire_reader LOGIN NOINHERIT CONNECTION LIMIT 64;
    END IF;
    EXECUTE pg_catalog.format(
        'GRANT CONNECT ON DATABASE %I TO quire_reader', pg_catalog.current_database());
    FOREACH schema_name IN ARRAY
        pg_catalog.string_to_array(pg_catalog.current_setting('quire.reader_schemas'), ',')
    LOOP
        words := pg_catalog.parse_ident(schema_name);  -- without blanks and quotes, as SQL reads a name
        IF pg_catalog.cardinality(words) OPERATOR(pg_catalog.<>) 1 THEN
            RAISE EXCEPTION 'schemas: % is not the name of a schema', schema_name;
        END IF;
        schema_name := words[1];
        EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO quire_reader', schema_name);
        EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO quire_reader', schema_name);
        EXECUTE pg_catalog.format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO quire_reader', schema_name);
    END LOOP;
END
$$;
