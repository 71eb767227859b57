#!/bin/sh
# What the other scripts need on this machine: read by them with `.`, of no use alone.
# Installs Debian and Ubuntu packages and Rust, but only what is missing; a second call is free.
set -eu

# Where builds are kept: out of the clone, so that a fresh clone builds in seconds where another one was built before.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/target}
export CARGO_TARGET_DIR
# Debian keeps brokers in /usr/sbin, rustup keeps cargo below the home.
PATH=$PATH:/usr/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

say() {
    printf '%s\n' "$*" >&2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Installs the named packages.
install_packages() {
    if ! has apt-get; then
        say "Please install what Debian calls: $*"
        exit 1
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if ! has sudo; then
            say "Please run as root: apt-get install $*"
            exit 1
        fi
        as_root=sudo
    fi
    say "Installing $* ..."
    # The lists of a bare machine are empty or old; one update and a second try is cheaper than an update each time.
    # shellcheck disable=SC2086 # Nothing, or the one word sudo.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 ||
        { $as_root apt-get update -q >&2 &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2; }
}

# A C compiler for SQLite, ring and Opus (with cmake), libsystemd for the service.
need_build() {
    missing=
    has cc || missing="$missing build-essential"
    has cmake || missing="$missing cmake"
    has pkg-config || missing="$missing pkg-config"
    { has pkg-config && pkg-config --exists libsystemd; } || missing="$missing libsystemd-dev"
    if ! has cargo && ! has curl; then
        missing="$missing ca-certificates curl"
    fi
    # shellcheck disable=SC2086 # A list of words.
    [ -z "$missing" ] || install_packages $missing
    if ! has cargo; then
        say "Rust is missing; installing it below $HOME with rustup (https://rustup.rs) ..."
        curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs |
            sh -s -- -y --no-modify-path --profile minimal -c clippy -c rustfmt >&2 ||
            { say "Please install Rust from https://rustup.rs and try again."; exit 1; }
    fi
}

need_broker() {
    has mosquitto || install_packages mosquitto mosquitto-clients
}

need_browser() {
    { has chromium && has chromedriver; } || install_packages chromium chromium-driver
}
