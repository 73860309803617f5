#!/bin/sh
# Prints an Envoy configuration for Open WebUI: envoy/envoy.yaml with three changes, which are the preset, the
# names of the variables that it reads, and the addresses of Open WebUI and the service.
#
#   examples/open-webui/envoy.sh OPEN_WEBUI_HOST:PORT SIGNOUT_HOST:PORT > open-webui.yaml
set -eu
usage() {
    echo "$0: $1" >&2
    echo "usage: $0 OPEN_WEBUI_HOST:PORT SIGNOUT_HOST:PORT" >&2
    exit 2
}
[ $# = 2 ] || usage "two addresses are needed"
for address in "$@"; do
    case ${address%:*} in '' | *[!A-Za-z0-9._-]*) usage "'$address' is no HOST:PORT" ;; esac
    case ${address##*:} in '' | *[!0-9]*) usage "'$address' has no port" ;; esac
done

awk -v application="$1" -v signout="$2" '
    function at(place,   parts) {
        split(place, parts, ":")
        return "address: " parts[1] ", port_value: " parts[2] " "
    }
    in_value && /- name:/ { in_value = 0 }
    in_value { next }
    /value: \|$/ { sub(/\|$/, "'\''{\"preset\": \"open-webui\"}'\''"); in_value = 1 }
    /host_env_keys:/ { sub(/SESSION_SECRET/, "WEBUI_SECRET_KEY, WEBUI_JWT_SECRET_KEY") }
    { sub(/address: application, port_value: [0-9]* /, at(application)) }
    { sub(/address: signout, port_value: [0-9]* /, at(signout)) }
    { print }
' "$(dirname "$0")/../../envoy/envoy.yaml"
