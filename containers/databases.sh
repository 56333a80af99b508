#!/bin/bash
# Run by the image of PostgreSQL over an empty data folder: Airflow's database, and its role, which can do nothing else.
set -euo pipefail
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$AIRFLOW_DATABASE_PASSWORD" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'password';
CREATE DATABASE airflow OWNER airflow;
REVOKE ALL ON DATABASE airflow, postgres, template1 FROM PUBLIC;
SQL
