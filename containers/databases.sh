#!/bin/bash
# Run by the image of PostgreSQL over an empty data folder: Airflow's database and the demo's, each with an owner who can
# do nothing else.
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
CREATE ROLE flights LOGIN CREATEROLE PASSWORD :'password'; -- it makes the role that reads
CREATE DATABASE flights OWNER flights;
REVOKE ALL ON DATABASE flights FROM PUBLIC;
SQL
        ;;
esac
