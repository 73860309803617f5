# Sourced by other scripts: installs a Debian package. The caller defines `say`.
from_debian() { # package, alternative: installs the package as root; otherwise says what to do, and exits
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing Debian's $1"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1" >&2
    else
        say "$1 is missing; install it (Debian: apt-get install $1)${2:+, $2}"
        exit 1
    fi
}
