#!/bin/bash
# Creates the databases of Airflow and the demo, each with an owner that has no other rights. PostgreSQL's image runs this
# script on an empty data folder.
set -euo pipefail
execute() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"; }

execute --set password="$AIRFLOW_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'password';
CREATE DATABASE airflow OWNER airflow;
REVOKE ALL ON DATABASE airflow, postgres, template1 FROM PUBLIC;
SQL

case "$QUIRE_OWNER" in
    postgresql://flights:*@postgres/flights)
        password=${QUIRE_OWNER#postgresql://flights:}
        execute --set password="${password%@postgres/flights}" <<'SQL'
CREATE ROLE flights LOGIN CREATEROLE PASSWORD :'password'; -- creates the reader role
CREATE DATABASE flights OWNER flights;
REVOKE ALL ON DATABASE flights FROM PUBLIC;
SQL
        ;;
esac
