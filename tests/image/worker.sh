#!/bin/sh
# Starts the worker for GPUs in $1 on this machine, for who built it: under emulation, with CUDA's real libraries and a driver that finds no
# device. It must say so to who gave it a GPU to use, take the processor where it may choose, and end with its socket. That it computes
# on a GPU is not shown here.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
need_cuda
has qemu-aarch64-static || install_packages qemu-user-static
program=$(realpath "$1")
libraries=$(tests/image/libraries.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

image/cuda-stub "$scratch/driver" aarch64-linux-gnu-gcc
# Which libraries the worker finds is said by the folders that are its arguments' first.
cat >"$scratch/run" <<END
#!/bin/sh
folders=\$1
shift
exec env -i HOME="$scratch" PATH=/usr/bin:/bin qemu-aarch64-static -L "$libraries" -E LD_LIBRARY_PATH="\$folders" "$program" "\$@"
END
chmod +x "$scratch/run"
boards=$CUDA_KIT/libraries/lib

fail() {
    say "$1: $(cat "$scratch/said")"
    exit 1
}

# The gateway looks for the driver before it starts a worker. One that is started all the same says what it lacks, with the status that sends
# the gateway to the processor's worker.
code=0
"$scratch/run" "$boards" version >"$scratch/said" 2>&1 || code=$?
[ $code -eq 127 ] || fail "without a driver it ends with $code"
grep -q 'libcuda.so.1' "$scratch/said" || fail "it does not say what it lacks"
"$scratch/run" "$boards:$scratch/driver" version >"$scratch/said" 2>&1 || fail "it does not start"
grep -q 'KafClaw Edge' "$scratch/said" || fail "it is something else"
# The answers as the gateway reads them: `unfit` sends it to the processor's worker.
tests/image/greet.py cuda:0 "$scratch/run" "$boards:$scratch/driver" worker >"$scratch/said" 2>&1 || fail "asked for a GPU it fell"
grep -q '"report": *"unfit".*could not use GPU 0.*CUDA_ERROR_NO_DEVICE' "$scratch/said" || fail "asked for a GPU it answers"
why=$(cat "$scratch/said")
tests/image/greet.py auto "$scratch/run" "$boards:$scratch/driver" worker >"$scratch/said" 2>&1 || fail "left to choose it fell"
grep -q '"report": *"welcome".*"device": *"cpu"' "$scratch/said" || fail "left to choose it answers"
say "starts under emulation; without a device it answers $why and, where it may choose, takes the processor"
