# Sourced by other scripts: Rust's targets, and how builds for other machines call cargo. The caller defines `say`.

# Panic messages contain the paths of source files. Remap them, so that every machine builds the same bytes.
remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/session-guard"

has_target() { # target
    ls "$(rustc --print target-libdir --target "$1" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1
}

bounded() { # seconds, command: runs the command with that time-out, if the system has `timeout`
    if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi
}

add_target() { # target; 90 s: rustup may hang if its server is unreachable; the download takes seconds
    command -v rustup >/dev/null || return 1
    say "adding the target $1 to the Rust toolchain"
    bounded 90 rustup target add "$1" >&2 && has_target "$1"
}

# Builds with the C compiler and the linker of zig. They contain the C libraries, so the result does not depend
# on those of this machine. A version of glibc may follow the target: x86_64-unknown-linux-gnu.2.28.
with_zig() { # target, command of cargo, its arguments
    zig_target=$1
    shift
    has_target "${zig_target%%.*}" || add_target "${zig_target%%.*}" || {
        say "the Rust target ${zig_target%%.*} is missing, and rustup cannot add it"
        return 1
    }
    setup/python-peers.sh zig && RUSTFLAGS="${RUSTFLAGS:-} $remap" PATH="$PWD/target/zig/bin:$PATH" \
        cargo-zigbuild "$@" --target "$zig_target"
}
