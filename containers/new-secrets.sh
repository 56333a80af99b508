#!/bin/sh
# Creates .env from .env.example and generates each secret that is empty or GENERATED there. It never changes existing
# values; with `add`, it adds the secrets that an older .env lacks.
set -eu
cd "$(dirname "$0")/.."
umask 077
secret() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
fill() {
    while IFS= read -r line; do
        case "$line" in
            AIRFLOW_FERNET_KEY=) printf '%s%s\n' "$line" "$(secret 32 | tr '+/' '-_')" ;;  # Fernet requires URL-safe base64
            [A-Z]*_PASSWORD=|[A-Z]*_SECRET=) printf '%s%s\n' "$line" "$(secret 33 | tr -d '+/=')" ;;
            [A-Z]*:GENERATED@*) printf '%s%s%s\n' "${line%%GENERATED*}" "$(secret 33 | tr -d '+/=')" "${line#*GENERATED}" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
}
if [ "${1:-}" = add ]; then
    [ -e .env ] || { echo "there is no .env to add to: run this script without \`add\`" >&2; exit 1; }
    cp -p .env .env.part
    [ -z "$(tail -c 1 .env)" ] || echo >> .env.part
    grep -E '^[A-Z0-9_]+_SECRET=$' .env.example | while IFS= read -r line; do
        grep -q "^$line" .env || { printf '%s\n' "$line" | fill >> .env.part; echo "added ${line%=}"; }
    done
    mv .env.part .env
    exit
fi
[ ! -e .env ] || {
    echo "there is an .env already, and the data depends on its secrets: run containers/new-secrets.sh add to add missing ones" >&2
    exit 1
}
fill < .env.example > .env.part
mv .env.part .env
echo "wrote .env: sign in as $(sed -n 's/^QUIRE_ADMIN=//p' .env) with QUIRE_ADMIN_PASSWORD"
