#!/bin/sh
# Builds and pushes the images of this machine's architecture: setup/release-images.sh REPOSITORY FOLDER
#
# REPOSITORY is a registry and a path, such as ghcr.io/owner/session-guard. The digest of each image goes
# to FOLDER/IMAGE-ARCHITECTURE.digest. The base images are those of setup/base-images.txt, by digest. Each
# image carries its provenance and a list of its packages (buildkit's attestations).
set -eu
cd "$(dirname "$0")/.."

repository=${1:?REPOSITORY} folder=${2:?FOLDER}
architecture=$(uname -m | sed 's/^x86_64$/amd64/; s/^aarch64$/arm64/')
python3 tests/release/check.py images
mkdir -p "$folder"

bases=$(grep -v '^#' setup/base-images.txt | while read -r name digest; do
    echo "--build-context $name=docker-image://$name@$digest"
done)
for image in signout envoy envoy-native; do
    # shellcheck disable=SC2086 # $bases is a list of arguments
    docker buildx build . --target "$image" --platform "linux/$architecture" $bases \
        --provenance=mode=max --sbom=true --metadata-file "$folder/$image.json" \
        --output "type=image,name=$repository/$image,push-by-digest=true,name-canonical=true,push=true"
    python3 -c 'import json, sys; print(json.load(sys.stdin)["containerimage.digest"])' \
        <"$folder/$image.json" >"$folder/$image-$architecture.digest"
    rm "$folder/$image.json"
done
