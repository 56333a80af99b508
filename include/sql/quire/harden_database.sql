-- Revokes the rights that PostgreSQL grants to PUBLIC (every role) by default. Optional: Quire works without it. Run it as
-- the owner of a database that no other application uses, or first grant other applications the rights they would lose:
--
--     psql -d shop -f include/sql/quire/harden_database.sql
--
-- It affects other roles in this database as follows:
--
-- CONNECT       Roles without a grant of their own can no longer connect: applications, monitoring, backups.
--               To restore: GRANT CONNECT ON DATABASE shop TO backend;
-- TEMPORARY     These roles can no longer create temporary tables, which can fill the disk.
--               To restore: GRANT TEMPORARY ON DATABASE shop TO backend;
-- large objects Roles that store them can no longer create new ones. Only a superuser can change this right; for other
--               roles, the statement is a warning. To restore: GRANT EXECUTE ON FUNCTION lo_creat(integer) TO backend;
-- public        Roles can no longer create tables or functions in the schema public. This is the default since
--               PostgreSQL 15, but upgraded databases keep the old right.
--               To restore: GRANT CREATE ON SCHEMA public TO backend;
-- functions     Functions and procedures that the current role creates later in this database can be called by that role
--               only. By default every role can call new functions, including those with SECURITY DEFINER, which run with
--               their owner's rights and may write. To restore: GRANT EXECUTE ON FUNCTION sales.total(integer) TO
--               quire_reader, backend; extensions that this role installs later need such grants as well. Existing
--               functions keep their grants, because revoking them would break their users; a warning lists those with
--               SECURITY DEFINER that every role can call.
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
        RAISE WARNING 'every role can call these functions, which run with their owner''s rights: %. '
            'REVOKE EXECUTE ON ROUTINE … FROM PUBLIC unless other roles need them', routines;
    END IF;
END
$$;
