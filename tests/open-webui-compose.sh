#!/bin/sh
# Checks examples/open-webui/compose.yaml, and starts Envoy and the service of it, without Open WebUI itself.
# Needs the images of session-guard, which tests/quick-start.sh or `make compose-demo` builds.
set -eu
cd "$(dirname "$0")/../examples/open-webui"

say() { echo "tests/open-webui-compose: $*" >&2; }
. ../../setup/docker-compose.sh

export PORT='' WEBUI_SECRET_KEY=for-this-test-and-long-enough-0123456789 SIGNOUT_TOKEN=for-this-test-0123456789
compose() { docker_compose -p session-guard-open-webui "$@"; }
remove_on_exit compose

compose config >/dev/null
compose up -d --no-deps envoy signout
address=$(compose port envoy 8080)
status_of() { curl -s -o /dev/null -w '%{http_code}' "http://$address$1" || true; }
end=$(($(date +%s) + 60))
until [ "$(status_of /.session-guard/ready)" = 200 ]; do
    [ "$(date +%s)" -lt "$end" ] || { say "Envoy is not ready within 60 s"; exit 1; }
    sleep 0.2
done
for expected in '401 /api/v1/chats/' '503 /'; do # 503: public, and Open WebUI does not run
    path=${expected#* }
    [ "$(status_of "$path")" = "${expected% *}" ] || { say "$path: $(status_of "$path")"; exit 1; }
done
say "all results are as expected"
