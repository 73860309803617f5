# For the other scripts here: a package of Debian's where something is missing. Needs `say`.
from_debian() { # package, what else would help: installs it as root, else says what to do
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing Debian's $1"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1" >&2
    else
        say "$1 is missing; install it (Debian: apt-get install $1)${2:+, $2}"
        exit 1
    fi
}
