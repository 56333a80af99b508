-- Takes from PUBLIC, which is every role, the rights that PostgreSQL grants to it by default. Optional: Quire works
-- without it. Run it as the owner of a database that no other application uses, or grant those applications what they
-- lose before you run it:
--
--     psql -d shop -f include/sql/quire/harden_database.sql
--
-- What else it affects, in this database, apart from the role quire_reader:
--
-- CONNECT       Roles that connect without a grant of their own cannot connect any more: applications, monitoring, backups.
--               Grant it back by name: GRANT CONNECT ON DATABASE shop TO backend;
-- TEMPORARY     They cannot create temporary tables either, which can fill the disk.
--               GRANT TEMPORARY ON DATABASE shop TO backend;
-- large objects Roles that store them cannot create new ones. Only a superuser may change this right; for any other role
--               the statement is a warning. GRANT EXECUTE ON FUNCTION lo_creat(integer) TO backend;
-- public        Roles that create tables or functions in schema public cannot any more. PostgreSQL 15 and newer are made
--               this way, but databases that were upgraded keep the old right. GRANT CREATE ON SCHEMA public TO backend;
-- functions     Functions and procedures that the role which runs this file creates later, in this database, can be called by
--               that role only. Every role may call new functions by default, those with SECURITY DEFINER too, which run with
--               their owner's rights and may write. GRANT EXECUTE ON FUNCTION sales.total(integer) TO quire_reader, backend;
--               An extension that this role installs later needs such grants as well. Functions that exist already keep
--               their grants, because revoking them would break what uses them: a warning names those with SECURITY DEFINER
--               that every role may call.
--
-- Owners and superusers keep all rights. Each statement can be run alone.

DO $$
BEGIN
    EXECUTE pg_catalog.format(
        'REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());
END
$$;
REVOKE EXECUTE ON FUNCTION
    pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

DO $$
DECLARE
    routines pg_catalog.text;
BEGIN
    SELECT pg_catalog.string_agg(p.oid::pg_catalog.regprocedure::pg_catalog.text, ', '
               ORDER BY p.oid::pg_catalog.regprocedure::pg_catalog.text)
      INTO routines
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
     CROSS JOIN LATERAL pg_catalog.aclexplode(
               COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS acl
     WHERE p.prosecdef AND acl.grantee OPERATOR(pg_catalog.=) 0
       AND NOT n.nspname OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog', 'information_schema']::pg_catalog.name[]);
    IF routines IS NOT NULL THEN
        RAISE WARNING 'every role may call these functions, which run with the rights of their owner: %. '
            'REVOKE EXECUTE ON ROUTINE … FROM PUBLIC, where no other role needs them', routines;
    END IF;
END
$$;
