# Sourced by other scripts: installs or unpacks Debian packages. The caller defines `say`.
from_debian() { # package, alternative: installs the package as root; otherwise says what to do, and exits
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing Debian's $1"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1" >&2
    else
        say "$1 is missing; install it (Debian: apt-get install $1)${2:+, $2}"
        exit 1
    fi
}

unpack_debian() { # directory, packages: unpacks them there, without installing anything
    home=$1
    shift
    rm -rf "$home" && mkdir -p "$home/packages"
    # Without root, apt-get cannot refresh its lists; the present ones may suffice.
    [ "$(id -u)" != 0 ] || apt-get update -qq
    (cd "$home/packages" && apt-get download -qq -o APT::Sandbox::User=root "$@" >&2)
    for package in "$home"/packages/*.deb; do dpkg-deb --extract "$package" "$home"; done
    rm -rf "$home/packages"
}
