#!/bin/sh
# Does the docker-compose demo work? Brings it up, walks through it, takes it down with all that it
# kept. The exit code is 0 only if every step came as expected. STORE=redis: the same with two services
# over one Redis.
#
# Works with `docker compose` (version 2) and with docker-compose 1.29.
set -eu
cd "$(dirname "$0")"

say() { echo "compose-demo: $*" >&2; }

case ${STORE:-} in
'' | redb) files="-f docker-compose.yaml" ;;
redis) files="-f docker-compose.yaml -f redis.yaml" ;;
*) say "STORE=$STORE: there are redb (the default) and redis"; exit 2 ;;
esac

command -v docker >/dev/null || { say "docker is missing: https://docs.docker.com/engine/install/"; exit 1; }
docker version >/dev/null 2>&1 || { say "the Docker daemon does not answer: is it running, and may you use it?"; exit 1; }
if docker compose version >/dev/null 2>&1; then
    compose() { docker compose -p session-guard-demo $files "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose -p session-guard-demo $files "$@"; }
else
    say "neither 'docker compose' nor docker-compose (1.29 or later) is there: https://docs.docker.com/compose/install/"
    exit 1
fi

# Any free port: nothing of the demo is in the way of what runs here.
export FRONT_PORT='' EDGE_1_PORT='' EDGE_2_PORT='' EDGE_1_METRICS_PORT='' EDGE_2_METRICS_PORT=''
unset SESSION_SECRET SIGNOUT_TOKEN SIGNOUT_STORE # the demo makes its own

finish() {
    code=$?
    trap - EXIT
    [ "$code" = 0 ] || compose logs --no-color --tail=50 >&2 || true
    compose down --volumes --remove-orphans >/dev/null 2>&1 || say "could not take everything down"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

say "building the images (the first time takes several minutes)"
compose build
say "starting two Envoys, a front, the service (store: ${STORE:-redb}) and an application"
compose up -d
compose run --rm walk
