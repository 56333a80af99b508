-- Creates quire_reader, the role that Quire reads with, and grants it what it needs. It revokes nothing: no other role
-- gains or loses a right. Run it with psql as the owner of the database, who may create roles, as often as you like:
--
--     psql -d shop -f include/sql/quire/reader_role.sql                                  schema public
--     psql -d shop -v schemas='sales, archive' -f include/sql/quire/reader_role.sql      other schemas
--     psql -d shop -c '\password quire_reader'
--
-- The role may connect, and may read the tables of these schemas: those that exist and those that the same owner creates
-- later. A name without a schema, in a query of the role's, means one of these schemas (public first, then by name) and no
-- other, not even a schema called quire_reader that somebody else creates: its search_path in this database says so. Run
-- again, the script adds schemas to that search_path and takes none off, except those that were dropped. Only schemas named
-- here get there: a role that creates a schema and grants it to quire_reader does not put it on the search_path. The
-- report's stored partitions are read again after a change of it. It cannot write because no right to write was granted
-- to it; read-only transactions and timeouts are settings, which every session may change. What PostgreSQL grants to
-- every role (PUBLIC), it has too: harden_database.sql takes that away, from all roles.
--
-- A role that exists already is taken as it is. A warning of one line names what it may do beyond reading, and each other
-- role that can become it or change its password: since PostgreSQL 16 the role that created it can, without being a superuser.

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
    path pg_catalog.text[];
    schemas pg_catalog.text;
    powers pg_catalog.text;
    others pg_catalog.text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'quire_reader') THEN
        CREATE ROLE quire_reader LOGIN NOINHERIT CONNECTION LIMIT 64;
    END IF;
    SELECT NULLIF(pg_catalog.concat_ws(', ',
               CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
               CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
               (SELECT 'member of ' OPERATOR(pg_catalog.||)
                       pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(g.rolname), ', ')
                  FROM pg_catalog.pg_auth_members AS m
                  JOIN pg_catalog.pg_roles AS g ON g.oid OPERATOR(pg_catalog.=) m.roleid
                 WHERE m.member OPERATOR(pg_catalog.=) r.oid)), ''),
           (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(o.rolname), ', ')
              FROM pg_catalog.pg_auth_members AS m
              JOIN pg_catalog.pg_roles AS o ON o.oid OPERATOR(pg_catalog.=) m.member
             WHERE m.roleid OPERATOR(pg_catalog.=) r.oid AND NOT o.rolsuper
               AND o.rolname OPERATOR(pg_catalog.<>) current_user
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_database AS d
                                WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                                  AND d.datdba OPERATOR(pg_catalog.=) o.oid))
      INTO STRICT powers, others
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolname OPERATOR(pg_catalog.=) 'quire_reader';
    IF powers IS NOT NULL THEN
        RAISE WARNING 'quire_reader can do more than read: it is %. ALTER or REVOKE what reports do not need', powers;
    END IF;
    IF others IS NOT NULL THEN
        RAISE WARNING 'others can read as quire_reader, and may know its password: REVOKE quire_reader FROM %, and '
            'set a new password', others;
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
        path := pg_catalog.array_append(path, schema_name);
    END LOOP;
    -- and those that the role's own setting names, in quotes or not
    SELECT pg_catalog.array_cat(path, pg_catalog.array_agg(
               COALESCE(pg_catalog.replace(name[1], '""', '"'), name[2])))
      INTO STRICT path
      FROM pg_catalog.pg_db_role_setting AS s
      JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) s.setrole
      JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) s.setdatabase
     CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry
     CROSS JOIN LATERAL pg_catalog.regexp_matches(
               pg_catalog.substr(entry, pg_catalog.length('search_path=') OPERATOR(pg_catalog.+) 1),
               '"((?:[^"]|"")*)"|([^[:space:],"]+)', 'g') AS name
     WHERE r.rolname OPERATOR(pg_catalog.=) 'quire_reader'
       AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
       AND pg_catalog.starts_with(entry, 'search_path=');
    SELECT pg_catalog.concat_ws(', ', pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', '
                                ORDER BY n.nspname OPERATOR(pg_catalog.<>) 'public', n.nspname), 'pg_temp')
      INTO STRICT schemas
      FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (path)
       AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
       AND NOT n.nspname OPERATOR(pg_catalog.=) 'quire';  -- the change log, which reports do not read
    BEGIN
        EXECUTE pg_catalog.format(
            'ALTER ROLE quire_reader IN DATABASE %I SET search_path = %s',
            pg_catalog.current_database(), schemas);
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'the search_path of quire_reader is not set: % may not alter it. Run as a role that may alter it: '
            'ALTER ROLE quire_reader IN DATABASE % SET search_path = %',
            current_user, pg_catalog.quote_ident(pg_catalog.current_database()), schemas;
    END;
END
$$;
