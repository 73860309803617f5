#!/bin/sh
# Runs the docker-compose demo: starts it, goes through all steps, and removes it with its volumes. The exit
# code is 0 only if every result is as expected. STORE=redis uses two services over one Redis.
#
# Works with `docker compose` (version 2) and with docker-compose 1.29.
set -eu
cd "$(dirname "$0")"

say() { echo "compose-demo: $*" >&2; }

case ${STORE:-} in
'' | redb) files="-f docker-compose.yaml" ;;
redis) files="-f docker-compose.yaml -f redis.yaml" ;;
*) say "STORE=$STORE is unknown: use redb (the default) or redis"; exit 2 ;;
esac

. ../../setup/docker-compose.sh
compose() { docker_compose -p session-guard-demo $files "$@"; }

# Empty means any free port, so that the demo does not collide with other programs.
export FRONT_PORT='' EDGE_1_PORT='' EDGE_2_PORT='' EDGE_1_METRICS_PORT='' EDGE_2_METRICS_PORT=''
unset SESSION_SECRET SIGNOUT_TOKEN SIGNOUT_STORE # the demo creates its own

remove_on_exit compose

say "building the images (the first time takes several minutes)"
compose build
say "starting two Envoys, a front proxy, the service (store: ${STORE:-redb}) and an application"
compose up -d
compose run --rm walk
