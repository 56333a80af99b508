#!/bin/sh
# Pins every base image of the Dockerfile and compose files to the current digest of its tag in the registry. Run it again
# to update. It requires docker and access to the registry, and changes nothing unless every digest is found.
set -eu
cd "$(dirname "$0")/.."
files="Dockerfile docker-compose.yaml containers/redis.yaml"
named='^(ARG QUIRE_[A-Z]+_IMAGE=|[[:space:]]+image: \$\{QUIRE_[A-Z]+_IMAGE:-)'
images=$(sed -nE "s#$named([a-z0-9./_-]+:[A-Za-z0-9._-]+)(@sha256:[0-9a-f]+)?(}?)\$#\2#p" $files | grep -v ':latest$' | sort -u)
[ -n "$images" ] || { echo "found no base image in $files" >&2; exit 1; }
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
