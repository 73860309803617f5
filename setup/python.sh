# Sourced by other scripts: ensures that python3 can create virtual environments. The caller defines `say`,
# and may set `instead` to an alternative that needs no Python.
. setup/debian.sh
command -v python3 >/dev/null || { say "python3 is missing; install it${instead:+, $instead}"; exit 1; }
python3 -c 'import ensurepip, venv' 2>/dev/null || from_debian python3-venv "${instead:-}"
