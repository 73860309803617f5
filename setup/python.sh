# For the other scripts here: a python3 that can make environments of its own. Reads `say`.
command -v python3 >/dev/null || { say "python3 is missing; install it"; exit 1; }
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "python3 has no venv here: installing Debian's python3-venv"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >&2
    else
        say "python3 has no venv here; install it (Debian: apt-get install python3-venv)"
        exit 1
    fi
fi
