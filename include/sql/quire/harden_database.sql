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
