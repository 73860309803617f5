# For the other scripts here: a python3 that can make environments of its own. Needs `say`; `instead`
# may say what would help without Python.
. setup/debian.sh
command -v python3 >/dev/null || { say "python3 is missing; install it${instead:+, $instead}"; exit 1; }
python3 -c 'import ensurepip, venv' 2>/dev/null || from_debian python3-venv "${instead:-}"
