#!/bin/sh
# Writes .env from .env.example: whatever is empty or GENERATED there gets a secret of its own. Never changes a .env that is there.
set -eu
cd "$(dirname "$0")/.."
[ ! -e .env ] || { echo "there is an .env already: its secrets are those of the data" >&2; exit 1; }
umask 077
secret() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
while IFS= read -r line; do
    case "$line" in
        AIRFLOW_FERNET_KEY=) printf '%s%s\n' "$line" "$(secret 32 | tr '+/' '-_')" ;;  # base64 for URLs, as Fernet wants it
        [A-Z]*_PASSWORD=|[A-Z]*_SECRET=) printf '%s%s\n' "$line" "$(secret 33 | tr -d '+/=')" ;;
        [A-Z]*:GENERATED@*) printf '%s%s%s\n' "${line%%GENERATED*}" "$(secret 33 | tr -d '+/=')" "${line#*GENERATED}" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < .env.example > .env.part
mv .env.part .env
echo "wrote .env: sign in as $(sed -n 's/^QUIRE_ADMIN=//p' .env) with QUIRE_ADMIN_PASSWORD"
