#!/bin/sh
# Says whether the program in $1 starts on every board, for who built it: reads from its ELF which versions of which libraries it
# needs, and fails above glibc 2.27 (JetPack 4) or libsystemd 237, or when it needs a library that boards do not have. With `orin` as $2 it is
# the worker for the GPU: on boards with JetPack 7 (glibc 2.39, CUDA 13), with CUDA's libraries, and with code for that GPU and no other.
set -eu

glibc=2.27
libstdcxx=0
systemd=237
boards='every board'
libraries='libsystemd.so.0 libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 ld-linux-aarch64.so.1'
must=
if [ "${2:-}" = orin ]; then
    glibc=2.39
    libstdcxx=3.4.32
    boards='Orin boards'
    must='libcuda.so.1 libcublas.so.13 libcurand.so.10 libcudart.so.13'
    # The linker leaves out those of which nothing is called.
    libraries="$libraries $must libcublasLt.so.13 libnvrtc.so.13 libstdc++.so.6 libgcc_s.so.1"
fi

# Of lines `GLIBC_2.25`, those that are newer than what $1 (such as GLIBC) may be, $2.
above() {
    grep "^$1_[0-9]" | while read -r version; do
        newest=$(printf '%s\n%s\n' "$1_$2" "$version" | sort -V | tail -n 1)
        [ "$newest" = "$1_$2" ] || echo "$version"
    done
}

# Versions that the file $1 needs, one a line.
needs() {
    readelf -W -V "$1" | sed -n '/\.gnu\.version_r/,$p' | grep -o 'Name: [A-Z_]*_[0-9.]*' | sed 's/^Name: //' | sort -u -V
}

# A reader that sees nothing would find everything in order.
seen=$(printf 'GLIBC_2.9\nGLIBC_2.27\nGLIBC_2.34\nLIBSYSTEMD_209\n' | above GLIBC 2.27)
[ "$seen" = GLIBC_2.34 ] || { echo "versions are not compared rightly: $seen" >&2; exit 1; }
[ "$(needs "$(command -v readelf)" | grep -c ^GLIBC)" -gt 0 ] || { echo "versions are not read" >&2; exit 1; }

program=$1
needs "$program" >"${TMPDIR:-/tmp}/needs.$$"
trap 'rm -f "${TMPDIR:-/tmp}/needs.$$"' EXIT
wrong=$(for limit in "GLIBC $glibc" "GLIBCXX $libstdcxx" "LIBSYSTEMD $systemd"; do
    # shellcheck disable=SC2086 # A name and a number.
    above $limit <"${TMPDIR:-/tmp}/needs.$$"
done)
needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
for library in $must; do
    case " $needed" in
    *" $library "*) ;;
    *) wrong="$wrong nothing-of-$library" ;;
    esac
done
for library in $needed; do
    case " $libraries " in
    *" $library "*) ;;
    *) wrong="$wrong $library" ;;
    esac
done
readelf -h "$program" | grep -q 'Machine: *AArch64' || wrong="$wrong another-processor"
readelf -h "$program" | grep -q 'Type: *DYN' || wrong="$wrong fixed-addresses"
readelf -S "$program" | grep -q '\.symtab' && wrong="$wrong symbols"
# What nvcc compiles takes no other names for folders, and the worker is in no image that is handed out.
if [ -z "$must" ]; then
    for place in "$PWD" "$HOME"; do
        ! grep -aqF "$place/" "$program" || wrong="$wrong the-path-$place"
    done
fi
if [ -n "$wrong" ]; then
    # shellcheck disable=SC2086 # One line for all.
    echo "$program does not start on $boards:" $wrong >&2
    exit 1
fi
[ -z "$must" ] || "$(dirname "$0")/gpu_code.py" "$program" 87
echo "needs $(grep ^GLIBC_ "${TMPDIR:-/tmp}/needs.$$" | tail -n 1), $(grep ^LIBSYSTEMD "${TMPDIR:-/tmp}/needs.$$" | tail -n 1); $(wc -c <"$program") bytes"
