#!/bin/sh
# Builds the program for ARM boards, for who makes an image or installs it on one: target/dist/kafclaw, for every board there is.
# `--with zig` (the default) needs nothing but glibc 2.27 and libsystemd 237 on the board; `--with gcc` is made by the compiler of
# this system and needs a glibc as new as its own; `--with cross` is zig's in a container. `--worker cuda` builds target/dist/worker-cuda
# instead: the worker for the GPU of NVIDIA's Orin boards with JetPack 7 (half an hour, and 3 GB in the cache, of which CUDA's own
# compiler and libraries are 1.2). What is built (in CARGO_TARGET_DIR) and what was built before from the same sources is kept in the cache.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

usage() {
    sed -n '2,6s/^# //p' "$0" >&2
    exit 64
}

target=aarch64-unknown-linux-gnu
glibc=2.27
libsystemd=237
with=zig
program=kafclaw
case $* in
'') ;;
'--with zig' | '--with gcc' | '--with cross') with=$2 ;;
'--worker cuda') with=cuda program=worker-cuda ;;
*) usage ;;
esac
dist=$PWD/target/dist

# Everything that the program is made of, as one number. What makes the container counts only where it is built in one.
inputs() {
    container=
    [ "$with" != cross ] || container='cross.toml image/Dockerfile image/zig-cc'
    {
        rustc -V
        echo "$with $glibc $libsystemd"
        # shellcheck disable=SC2086 # Nothing, or a list of files.
        find Cargo.toml Cargo.lock .cargo src models/manifest.toml scripts/build.sh image/systemd-stub image/cuda-stub $container -type f | LC_ALL=C sort |
            while read -r file; do sha256sum "$file"; done
    } | sha256sum | cut -c 1-16
}

say "1/3 Looking for a compiler ..."
need_build
# Paths of this machine have no place in the program, or it would be another one on every machine. That of the clone does not get into it.
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo
CFLAGS_aarch64_unknown_linux_gnu="-DSQLITE_VEC_ENABLE_NEON -I$C_INCLUDE_PATH -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo \
-fno-asynchronous-unwind-tables -fno-unwind-tables"
KAFCLAW_DIST=1
SYSTEMD_LIB_DIR=$CARGO_TARGET_DIR/libsystemd-$libsystemd
SYSTEMD_LIBS=systemd
export SYSTEMD_LIB_DIR SYSTEMD_LIBS CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS CFLAGS_aarch64_unknown_linux_gnu KAFCLAW_DIST
need_rust_for "$target"
case $with in
zig) need_zig ;;
gcc | cuda)
    has aarch64-linux-gnu-g++ || install_packages g++-aarch64-linux-gnu libc6-dev-arm64-cross
    [ "$with" = gcc ] || need_cuda
    # sqlite-vec takes signed bytes for unsigned ones, which only clang lets it.
    CFLAGS_aarch64_unknown_linux_gnu="$CFLAGS_aarch64_unknown_linux_gnu -flax-vector-conversions"
    ;;
cross)
    has docker || has podman || { say "cross works in containers: please install docker or podman, or use --with zig."; exit 1; }
    has cross || { say "Please install it (cargo install cross --locked), or use --with zig."; exit 1; }
    ;;
esac

sources=$(inputs)
kept=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/dist/$sources
if [ ! -e "$kept/$program" ]; then
    # Objects of one compiler are nothing for another.
    place=$CARGO_TARGET_DIR
    hours="a quarter of an hour"
    case $with in
    gcc) place=$CARGO_TARGET_DIR/gcc ;;
    cuda) place=$CARGO_TARGET_DIR/cuda hours="half an hour" ;;
    esac
    say "2/3 Building (in $place, about $hours from nothing) ..."
    case $with in
    zig)
        image/systemd-stub "$libsystemd" "$SYSTEMD_LIB_DIR" "$CARGO_ZIGBUILD_ZIG_PATH" cc -target "aarch64-linux-gnu.$glibc"
        cargo zigbuild --locked --profile dist --bin kafclaw --target "$target.$glibc" >&2
        ;;
    gcc)
        image/systemd-stub "$libsystemd" "$SYSTEMD_LIB_DIR" aarch64-linux-gnu-gcc
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc cargo build --locked --profile dist --bin kafclaw --target "$target" \
            --target-dir "$place" >&2
        ;;
    cross)
        CROSS_CONFIG=$PWD/cross.toml cross build --locked --profile dist --bin kafclaw --target "$target" >&2
        ;;
    cuda)
        image/systemd-stub "$libsystemd" "$SYSTEMD_LIB_DIR" aarch64-linux-gnu-gcc
        image/cuda-stub "$place/driver" aarch64-linux-gnu-gcc
        # The numbers are those of Orin's GPU and of its JetPack's CUDA. What the libraries need in turn is the board's to have.
        env CUDA_HOME="$CUDA_KIT/compiler" PATH="$CUDA_KIT/compiler/bin:$PATH" CUDARC_CUDA_VERSION=13020 CUDA_COMPUTE_CAP=87 \
            NVCC_CCBIN=aarch64-linux-gnu-g++ CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-$(nproc)}" \
            CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
            CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="$CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS -Lnative=$place/driver -Lnative=$CUDA_KIT/libraries/lib \
-Clink-arg=-Wl,-rpath-link,$CUDA_KIT/libraries/lib" \
            cargo build --locked --profile dist --features cuda --bin kafclaw --target "$target" --target-dir "$place" >&2
        ;;
    esac
    [ "$(inputs)" = "$sources" ] || { say "The sources were changed meanwhile: please build again."; exit 1; }
    mkdir -p "$kept"
    cp "$place/$target/dist/kafclaw" "$kept/new.$$"
    mv "$kept/new.$$" "$kept/$program"
    # Of what was built, the last few are enough.
    find "${kept%/*}" -mindepth 1 -maxdepth 1 -mtime +14 ! -path "$kept" -exec rm -r {} +
else
    say "2/3 The same sources were built before."
fi

say "3/3 Looking at what it needs on the board ..."
mkdir -p "$dist"
cp "$kept/$program" "$dist/$program"
say "  $(readelf -d "$dist/$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')"
say "  $(wc -c <"$dist/$program") bytes"
[ "$with" != cuda ] || tests/image/floors.sh "$dist/$program" orin >&2
printf '%s\n' "$dist/$program"
