#!/bin/sh
# Takes a running image through an update and back, for who changes updates, slots, counters or GRUB: bundles that were cut off or changed
# are refused, the good one is installed to slot B by `kafclaw update`, B comes up and proves itself; then somebody goes back to A, whose
# kernel cannot be read, and the machine must come back to B by itself, with what the home has told intact. Prints how long each takes.
# `update.sh [IMAGE BUNDLE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. image/meta

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
bundle=${2:-target/image/$PRODUCT-qemu-aarch64-$VERSION.raucb}
need_machine
SCRATCH=$(mktemp -d)
PORT_BASE=${KAFCLAW_TEST_PORTS:-21020}
machine=
stop() {
    code=$?
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    [ $code -eq 0 ] || tail -n 40 "$SCRATCH/console" >&2
    rm -rf "$SCRATCH"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
    say "FAIL $*"
    exit 1
}

runs_from() {
    inside "grep -q rauc.slot=$1 /proc/cmdline"
}
has_proved() {
    inside "grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx $1_TRY=0"
}
new_disk "$image" "$SCRATCH/disk"
start_machine "$SCRATCH/disk" uefi
wait_until 600 runs_from A >/dev/null || fail "A does not come up"
wait_until 300 has_proved A >/dev/null || fail "A does not prove itself"
inside 'KAFCLAW_HOME=/var/lib/kafclaw; export KAFCLAW_HOME; cd /; setpriv --reuid kafclaw --regid kafclaw --clear-groups env HOME=$KAFCLAW_HOME kafclaw memory remember "The stopcock is behind the washing machine."'

# The command as who administers the machine runs it, and one field of what it knows.
update() {
    inside kafclaw update "$@"
}
phase() {
    inside 'kafclaw update status --json | jq -r .phase'
}
is_in() {
    [ "$(phase)" = "$1" ]
}
# A bundle that must be refused with the words $2.
refused() {
    if said=$(update install "$1" 2>&1); then
        fail "$1 is installed: $said"
    fi
    echo "$said" | grep -q "$2" || fail "$1 is refused with other words: $said"
    is_in failed || fail "after $1 the phase is $(phase)"
    say "ok   $1: $(echo "$said" | grep "$2")"
}

inside 'cat >/var/tmp/update.raucb' <"$bundle"
inside 'head -c 20000000 /var/tmp/update.raucb >/var/tmp/cut.raucb
    cp /var/tmp/update.raucb /var/tmp/changed.raucb
    dd if=/dev/urandom of=/var/tmp/changed.raucb bs=4096 seek=4000 count=64 conv=notrunc 2>/dev/null
    echo la la la >/var/tmp/song.raucb'
refused /var/tmp/cut.raucb 'cut off'
refused /var/tmp/song.raucb 'is no update'
refused /var/tmp/changed.raucb 'could not be written'
inside 'rm /var/tmp/cut.raucb /var/tmp/changed.raucb /var/tmp/song.raucb'

began=$(date +%s)
update install /var/tmp/update.raucb >&2 || fail "the bundle is not installed"
is_in awaiting_restart || fail "after the installation the phase is $(phase)"
inside 'rm /var/tmp/update.raucb'
say "ok   installed in $(($(date +%s) - began)) s"
update restart >&2 || true
sleep 5
took=$(wait_until 600 runs_from B) || fail "B does not come up"
wait_until 300 has_proved B >/dev/null || fail "B does not prove itself"
wait_until 60 is_in confirmed >/dev/null || fail "in B the phase is $(phase)"
say "ok   B is up after $took s, and has proved itself"

# Back to A, without a kernel; its file is still there.
inside 'debugfs -w -R "punch /boot/Image 0" /dev/disk/by-partlabel/root-a' >/dev/null 2>&1 || true
update rollback >&2 || fail "nobody may go back"
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | tr "\n" " "' >&2 || true
sleep 5
took=$(wait_until 900 runs_from B) || fail "the machine does not come back"
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | tr "\n" " "' >&2
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx A_TRY=3' || fail "A was not tried"
wait_until 300 has_proved B >/dev/null || fail "B does not prove itself again"
update status >&2
update status | grep -q 'slot A did not start' || fail "nobody says why it is back"
say "ok   back in B $took s after A was started without a kernel, and the reason is told"
inside 'KAFCLAW_HOME=/var/lib/kafclaw; export KAFCLAW_HOME; setpriv --reuid kafclaw --regid kafclaw --clear-groups env HOME=$KAFCLAW_HOME kafclaw memory list' | grep -q stopcock || fail "the memory is gone"
say "ok   what the home has told is there"
