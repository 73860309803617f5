#!/bin/sh
# Runs the commands of examples/quick-start/README.md in a copy of its directory, on a free port. Then changes
# the mounted envoy.yaml and restarts Envoy, and mounts a secret that the image's user cannot read. Needs the
# base images; `tests/compose.sh tests/quick-start.sh` makes replacements.
set -eu
cd "$(dirname "$0")/.."

say() { echo "tests/quick-start: $*" >&2; }
. setup/docker-compose.sh

work=$(mktemp -d)
chmod 0755 "$work"
cp -r examples/quick-start/. "$work"
export PORT='' # any free port
quick_start() { docker_compose -p session-guard-quick-start -f "$work/compose.yaml" --project-directory "$work" "$@"; }
remove_on_exit quick_start "$work"

check() { # expected status and code, arguments of curl
    expected=$1
    status=$(cd "$work" && eval "curl -s -o body -w '%{http_code}' $2")
    code=$(sed -n 's/.*"code": *"\([a-z_]*\)".*/\1/p' "$work/body")
    actual="$status${code:+ $code}"
    [ "$actual" = "$expected" ] || { say "curl $2: expected $expected, got $actual"; exit 1; }
    say "curl $2: $actual"
}

await_ready() { # the port changes when the container restarts
    address=$(quick_start port envoy 8080)
    ready="curl -s -o /dev/null -w %{http_code} http://$address/.session-guard/ready"
    end=$(($(date +%s) + 60))
    until [ "$($ready)" = 200 ]; do
        [ "$(date +%s)" -lt "$end" ] || { say "Envoy is not ready within 60 s"; exit 1; }
        sleep 0.2
    done
}

(cd "$work" && eval "$(sed -n 's/^ *\$ \(printf .*\)/\1/p' README.md)")
for image in envoy signout; do
    docker image inspect "session-guard/$image" >/dev/null 2>&1 ||
        docker_compose -f examples/compose/docker-compose.yaml build
done
quick_start up -d
await_ready
sed -n 's/^ *\$ curl \(.*\)/\1/p' "$work/README.md" | sed "s/127.0.0.1:8080/$address/" >"$work/requests"
while IFS='#' read -r arguments expected; do
    expected=${expected# }
    check "${expected:-200}" "$arguments"
done <"$work/requests"
[ "$(wc -l <"$work/requests")" -gt 3 ] || { say "the README has no requests"; exit 1; }

check '401 missing_token' "-X POST http://$address/enter"
sed -i 's|"/login"|"/enter"|' "$work/envoy.yaml"
quick_start restart envoy
await_ready
check 404 "-X POST http://$address/enter"

mkdir "$work/secrets"
(umask 077 && echo secret >"$work/secrets/SIGNOUT_TOKEN")
said=$(docker run --rm -v "$work/secrets:/run/session-guard:ro" session-guard/signout true 2>&1) &&
    { say "a secret that cannot be read was ignored"; exit 1; }
case $said in
*"user 65532 cannot read /run/session-guard/SIGNOUT_TOKEN"*) say "$said" ;;
*) say "a secret that cannot be read: $said"; exit 1 ;;
esac
say "all results are as expected"
