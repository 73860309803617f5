# Sourced by other scripts: defines `docker_compose`, which is `docker compose` or docker-compose 1.29. The
# caller defines `say`.
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
