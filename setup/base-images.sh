#!/bin/sh
# Looks up the digests of the Dockerfile's base images in their registry and writes setup/base-images.txt.
# Needs docker with buildx, and the network.
set -eu
cd "$(dirname "$0")/.."

new=$(mktemp)
trap 'rm -f "$new"' EXIT
grep '^#' setup/base-images.txt >"$new"
for image in $(sed -n 's/^FROM \([^ ]*:[^ ]*\).*/\1/p' Dockerfile); do
    digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
    echo "$image $digest" >>"$new"
done
cat "$new" >setup/base-images.txt
