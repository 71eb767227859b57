#!/bin/sh
# Says whether the program in $1 starts on every board, for who built it: reads from its ELF which versions of which libraries it
# needs, and fails above glibc 2.27 (JetPack 4) or libsystemd 237, or when it needs a library that boards do not have.
set -eu

glibc=2.27
systemd=237
libraries='libsystemd.so.0 libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 ld-linux-aarch64.so.1'

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
wrong=$(above GLIBC $glibc <"${TMPDIR:-/tmp}/needs.$$"; above LIBSYSTEMD $systemd <"${TMPDIR:-/tmp}/needs.$$")
for library in $(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case " $libraries " in
    *" $library "*) ;;
    *) wrong="$wrong $library" ;;
    esac
done
readelf -h "$program" | grep -q 'Machine: *AArch64' || wrong="$wrong another-processor"
readelf -h "$program" | grep -q 'Type: *DYN' || wrong="$wrong fixed-addresses"
readelf -S "$program" | grep -q '\.symtab' && wrong="$wrong symbols"
if [ -n "$wrong" ]; then
    # shellcheck disable=SC2086 # One line for all.
    echo "$program does not start on every board:" $wrong >&2
    exit 1
fi
echo "needs $(grep ^GLIBC_ "${TMPDIR:-/tmp}/needs.$$" | tail -n 1), $(grep ^LIBSYSTEMD "${TMPDIR:-/tmp}/needs.$$" | tail -n 1); $(wc -c <"$program") bytes"
