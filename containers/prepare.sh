#!/bin/bash
# Prepares a stack for its first task: Airflow's tables, the administrator and, with the argument `bucket`, the bucket. It
# can be repeated.
set -euo pipefail
airflow db migrate
airflow users create --role Admin --username "$QUIRE_ADMIN" --password "$QUIRE_ADMIN_PASSWORD" \
    --firstname Quire --lastname Administrator --email "$QUIRE_ADMIN@localhost"
[ "${1:-}" != bucket ] || python -m quire.dev_stack.containers bucket
