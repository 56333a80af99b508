#!/bin/bash
# What a stack needs before its first task: tables, the administrator and, asked for by `bucket`, the bucket. Run again,
# it changes nothing.
set -euo pipefail
airflow db migrate
airflow users create --role Admin --username "$QUIRE_ADMIN" --password "$QUIRE_ADMIN_PASSWORD" \
    --firstname Quire --lastname Administrator --email "$QUIRE_ADMIN@localhost"
[ "${1:-}" != bucket ] || python -m quire.local_stack.containers bucket
