-- Creates quire_reader, the role that Quire reads with, and grants it the rights it needs. It revokes nothing: no other role
-- gains or loses a right. Run it with psql as the owner of the database, who must be able to create roles. It can be
-- repeated:
--
--     psql -d shop -f include/sql/quire/reader_role.sql                                  schema public
--     psql -d shop -v schemas='sales, archive' -f include/sql/quire/reader_role.sql      other schemas
--     psql -d shop -c '\password quire_reader'
--
-- The role can connect and read the tables of these schemas: existing ones and those that the same owner creates later.
-- Its search_path in this database contains these schemas (public first, then by name) and no others. A table name
-- without a schema therefore never refers to another schema, not even to one named quire_reader that somebody else
-- creates. Running the script again adds schemas to the search_path and removes only those that were dropped. A role that
-- creates a schema and grants it to quire_reader does not put it on the search_path. After a change of the search_path, the
-- report's partitions are reread.
--
-- The role cannot write because it has no right to write. Read-only transactions and timeouts are settings that every
-- session can change. It also has the rights that PostgreSQL grants to every role (PUBLIC); harden_database.sql revokes
-- these from all roles.
--
-- An existing role is not replaced. A one-line warning lists the rights it has beyond reading. Another lists the roles
-- that can become it or change its password: since PostgreSQL 16, that includes the role that created it.

\set ON_ERROR_STOP on
\if :{?schemas}
\else
    \set schemas public
\endif
SET quire.reader_schemas = :'schemas';

-- All names are qualified: this runs as the owner, and others may have the right to create functions in public.
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
        RAISE WARNING 'quire_reader has rights beyond reading: %. Revoke those that reports do not need', powers;
    END IF;
    IF others IS NOT NULL THEN
        RAISE WARNING 'other roles can act as quire_reader and may know its password: REVOKE quire_reader FROM %, and '
            'set a new password', others;
    END IF;
    EXECUTE pg_catalog.format(
        'GRANT CONNECT ON DATABASE %I TO quire_reader', pg_catalog.current_database());
    FOREACH schema_name IN ARRAY
        pg_catalog.string_to_array(pg_catalog.current_setting('quire.reader_schemas'), ',')
    LOOP
        words := pg_catalog.parse_ident(schema_name);  -- removes spaces and quotes, as SQL does
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
    -- Adds the schemas of the role's existing search_path, which may be quoted.
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
