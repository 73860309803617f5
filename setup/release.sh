#!/bin/sh
# Builds the files of a release: setup/release.sh VERSION [PART …]
#
# Parts: wasm, native, signout, sbom, chart; all of them without an argument. The files go to
# target/release-files, with their checksums in SHA256SUMS. The programs are built for this machine's
# architecture; ARCHITECTURES="x86_64 arm64" builds them for both.
#
# A part that this machine cannot build is named at the end. With RELEASE_COMPLETE=1 that is an error, as in
# .github/workflows/release.yaml.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/release: $*" >&2; }
. setup/rust.sh

version=${1:?setup/release.sh VERSION [PART ...]}
shift
[ $# -gt 0 ] || set -- wasm native signout sbom chart
architectures=$(echo "${ARCHITECTURES:-$(uname -m)}" | sed 's/amd64/x86_64/g; s/aarch64/arm64/g')
glibc=2.28 # of Debian 10 and RHEL 8. PyPI's Envoy 1.40 itself needs 2.30
files=target/release-files
missing=

python3 tests/release/check.py version "$version"
# Files carry the time of the commit, so that two builds of one commit are equal.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

leave_out() { # part, why
    say "not built here: $1: $2"
    missing="$missing $1"
}

wasm() {
    setup/wasm.sh "$files/session_guard-$version.wasm"
    cargo run --quiet -p oci-image -- "$files/session_guard-$version.wasm" target/release-image
    tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --file "$files/session_guard-$version-oci.tar" --directory target/release-image .
}

target_for() { # part, architecture, system: sets `target`, if this machine can build for it
    target=$(echo "$2" | sed 's/arm64/aarch64/')-unknown-$3
    [ "$(uname -s)" = Linux ] || { leave_out "$1-$2" "setup/zig-requirements.txt is for Linux only"; return 1; }
    has_target "$target" || add_target "$target" ||
        { leave_out "$1-$2" "Rust has no target $target, and rustup cannot add it"; return 1; }
}

native() {
    for architecture in $architectures; do
        target_for native "$architecture" linux-gnu || continue
        GLIBC=$glibc TARGET=$target setup/native.sh "$files/libsession_guard_native-$version-linux-$architecture.so"
    done
}

# A binary without any library of the system, so it runs on every Linux.
signout() {
    for architecture in $architectures; do
        target_for signout "$architecture" linux-musl || continue
        with_zig "$target" build --locked --release --package signout --target-dir target/static
        binary=$files/signout-$version-linux-$architecture
        install -m 0755 "target/static/$target/release/signout" "$binary"
        if readelf --program-headers "$binary" | grep -q INTERP; then
            say "$binary is not static"
            exit 1
        fi
    done
}

# One CycloneDX file for each program, from its lock file.
sbom() {
    tool=cargo-cyclonedx
    pin=0.5.9
    home=target/setup/$tool-$pin
    [ -x "$home/bin/$tool" ] || cargo install --quiet --locked --version "$pin" --root "$home" "$tool"
    name=session-guard-release-sbom
    "$home/bin/$tool" cyclonedx --quiet --format json --spec-version 1.5 --override-filename "$name"
    # The folder of this machine would make each build of one commit different.
    for program in ./session_guard native/libsession_guard_native signout/signout; do
        sed "s|file://$PWD|file:///session-guard|g" "${program%/*}/$name.json" \
            >"$files/${program##*/}-$version.cdx.json"
    done
    git ls-files --others -- "*$name.json" | while read -r file; do rm "$file"; done
}

chart() {
    setup/kubernetes.sh
    "${HELM:-target/kubernetes/bin/helm}" package charts/session-guard --destination "$files" \
        --version "$version" --app-version "$version" >&2
}

rm -rf "$files" target/release-image
mkdir -p "$files"
for part in "$@"; do
    case $part in
    wasm | native | signout | sbom | chart) "$part" ;;
    *) say "unknown part $part"; exit 2 ;;
    esac
done
python3 tests/release/check.py files "$version" "$files"
if [ -n "$(ls "$files")" ]; then
    (cd "$files" && sha256sum -- * >../release-sums && mv ../release-sums SHA256SUMS)
    cat "$files/SHA256SUMS"
fi
[ -z "$missing" ] || say "left out:$missing"
[ -z "$missing" ] || [ -z "${RELEASE_COMPLETE:-}" ]
