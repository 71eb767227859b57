#!/bin/sh
# Builds the program for boards and the image that QEMU boots, and looks at both, for who changes what goes onto a device.
# `run.sh until SECONDS` goes through updates good and bad, too, as long as it is not so late (since 1970), which is for CI; twenty minutes
# after that it pulls the plug once only.
# `run.sh program` stops after the program; `run.sh worker` builds the worker for GPUs instead and looks at it, which is for the night;
# `run.sh all` also makes the image once more, boots with other firmware, goes through updates good and bad and back, pulls the plug ten times, damages its disk,
# and joins Wi-Fis. What takes long (cross build, packages) is kept in the user's cache by the hash of its inputs, so that a second run is minutes. Figures that the
# tests note are printed by `scripts/bench.sh image`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
if [ "${1:-}" = worker ]; then
    exec tests/image/worker.sh "$(scripts/build.sh --worker cuda)"
fi
if [ "${1:-}" != program ]; then
    # Packages need no program: they are unpacked while the end of its build leaves a core idle.
    need_image
    need_emulation
    told=$(mktemp)
    scripts/image.sh qemu-aarch64 --only 10-base.sh >"$told" 2>&1 &
    packages=$!
    trap 'rm -f "$told"; kill $packages 2>/dev/null || true' EXIT
fi
program=$(scripts/build.sh)
tests/image/floors.sh "$program"
tests/image/smoke.sh "$program"
[ "${1:-}" != program ] || exit 0
wait "$packages" || { cat "$told" >&2; exit 1; }
trap 'rm -f "$told"' EXIT
scripts/image.sh qemu-aarch64 >/dev/null
tests/image/boards.sh
tests/image/boot.sh uefi
tests/image/alone.sh
tests/image/flash.sh
if [ "${1:-}" != all ]; then
    cuts=2
    # Twenty minutes later there is no time for an update that is cut and goes on, on a machine that has been so slow.
    if [ "${1:-}" = until ] && [ "$(date +%s)" -ge $(($2 + 1200)) ]; then
        say "Left out, because it is very late: the plug pulled in the middle of an update. It is a part of \`tests/image/run.sh all\`."
        cuts=1
    fi
    tests/image/power.sh $cuts
    [ "${1:-}" = until ] || exit 0
    for test in update.sh fallback.sh; do
        if [ "$(date +%s)" -ge "$2" ]; then
            say "Left out, because it is late: tests/image/$test. It is a part of \`tests/image/run.sh all\`."
        else
            tests/image/$test
        fi
    done
    exit 0
fi
tests/image/again.sh
tests/image/power.sh 10
tests/image/boot.sh u-boot
tests/image/update.sh
tests/image/fallback.sh
tests/image/damage.sh
tests/image/reset.sh
tests/image/wifi.sh
