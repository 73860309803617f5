# Sourced by other scripts: defines `docker_compose`, which is `docker compose` or docker-compose 1.29, and
# `remove_on_exit`. The caller defines `say`.
command -v docker >/dev/null || { say "docker is missing: https://docs.docker.com/engine/install/"; exit 1; }
docker version >/dev/null 2>&1 || { say "cannot connect to the Docker daemon: check that it runs and that you may use it"; exit 1; }
if docker compose version >/dev/null 2>&1; then
    docker_compose() { docker compose "$@"; }
elif command -v docker-compose >/dev/null; then
    docker_compose() { docker-compose "$@"; }
else
    say "install 'docker compose' or docker-compose 1.29: https://docs.docker.com/compose/install/"
    exit 1
fi

# Removes a project with its volumes when the script exits, and prints its logs if the script fails.
remove_on_exit() { # function that calls docker_compose for the project, a folder to remove as well
    project=$1 scratch=${2:-}
    trap finish EXIT
    trap 'exit 130' INT TERM
}

finish() {
    code=$?
    trap - EXIT
    [ "$code" = 0 ] || "$project" logs --no-color --tail=50 >&2 || true
    "$project" down --volumes --remove-orphans >/dev/null 2>&1 || say "could not remove everything"
    [ -z "$scratch" ] || rm -rf "$scratch"
    exit "$code"
}
