#!/bin/sh
# Takes a running image through an update and back, for who changes slots, counters or GRUB: the bundle is installed to slot B, B comes
# up and proves itself; then A is made active with a kernel that cannot be read, and the machine must come back to B by itself, with what
# the home has told intact. Prints how long each takes. `update.sh [IMAGE BUNDLE]`.
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
# The process of the machine ends nothing when it starts anew; the system inside does.
restart() {
    inside 'systemctl --no-block reboot' || true
    sleep 5
}

new_disk "$image" "$SCRATCH/disk"
start_machine "$SCRATCH/disk" uefi
wait_until 600 runs_from A >/dev/null || fail "A does not come up"
wait_until 300 has_proved A >/dev/null || fail "A does not prove itself"
inside 'KAFCLAW_HOME=/var/lib/kafclaw; export KAFCLAW_HOME; cd /; setpriv --reuid kafclaw --regid kafclaw --clear-groups env HOME=$KAFCLAW_HOME kafclaw memory remember "The stopcock is behind the washing machine."'

began=$(date +%s)
inside 'cat >/var/tmp/update.raucb' <"$bundle"
inside 'rauc install /var/tmp/update.raucb && rm /var/tmp/update.raucb' >&2 || fail "the bundle is not installed"
say "ok   installed in $(($(date +%s) - began)) s"
restart
took=$(wait_until 600 runs_from B) || fail "B does not come up"
wait_until 300 has_proved B >/dev/null || fail "B does not prove itself"
say "ok   B is up after $took s, and has proved itself"

# Now A, without a kernel; its file is still there.
inside 'debugfs -w -R "punch /boot/Image 0" /dev/disk/by-partlabel/root-a && rauc status mark-active other && rauc status mark-good other && rauc status mark-active other' >/dev/null 2>&1 || true
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | tr "\n" " "' >&2
restart
took=$(wait_until 900 runs_from B) || fail "the machine does not come back"
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | tr "\n" " "' >&2
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx A_TRY=3' || fail "A was not tried"
say "ok   back in B $took s after A was started without a kernel"
inside 'KAFCLAW_HOME=/var/lib/kafclaw; export KAFCLAW_HOME; setpriv --reuid kafclaw --regid kafclaw --clear-groups env HOME=$KAFCLAW_HOME kafclaw memory list' | grep -q stopcock || fail "the memory is gone"
say "ok   what the home has told is there"
