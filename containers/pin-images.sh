#!/bin/sh
# Pins every base image of Dockerfile and compose files to the digest that its tag has in the registry today; run it
# again to take a newer one. Needs docker and a way to the registry. Nothing changes unless every digest is known.
set -eu
cd "$(dirname "$0")/.."
files="Dockerfile docker-compose.yaml containers/redis.yaml"
named='^(ARG QUIRE_[A-Z]+_IMAGE=|[[:space:]]+image: \$\{QUIRE_[A-Z]+_IMAGE:-)'
images=$(sed -nE "s#$named([a-z0-9./_-]+:[A-Za-z0-9._-]+)(@sha256:[0-9a-f]+)?(}?)\$#\2#p" $files | grep -v ':latest$' | sort -u)
[ -n "$images" ] || { echo "no base image was found in $files" >&2; exit 1; }
edits=$(mktemp)
trap 'rm -f "$edits"' EXIT
for image in $images; do
    docker pull --quiet "$image" > /dev/null
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" |
        sed -nE 's/.*@(sha256:[0-9a-f]{64})$/\1/p' | head -n 1)
    [ -n "$digest" ] || { echo "$image has no digest: it did not come from a registry" >&2; exit 1; }
    printf 's#%s%s(@sha256:[0-9a-f]+)?(}?)$#\\1%s\\3#\n' "$named" "$image" "$image@$digest" >> "$edits"
    echo "$image@$digest"
done
for file in $files; do
    sed -E -f "$edits" "$file" > "$file.part"
    cat "$file.part" > "$file"
    rm "$file.part"
done
