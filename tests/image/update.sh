#!/bin/sh
# Takes a running image through an update and back, for who changes updates, slots, counters or GRUB: bundles that were cut off or changed,
# of a stranger, of another board and of an older version are refused, one of the next version comes over a line that breaks and is installed to slot B by
# `kafclaw update`, B comes up and proves itself; then somebody goes back to A, whose kernel cannot be read, and the machine must come back to B by itself,
# with what the home has told intact. Another one comes on a stick, which is pulled in the middle. Prints how long each takes. `update.sh [IMAGE BUNDLE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. tests/image/recipe.sh
. tests/image/bundles.sh

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
bundle=${2:-target/image/$PRODUCT-qemu-aarch64-$VERSION.raucb}
need_machine
need_image
has curl || install_packages curl
{ has mcopy && has mkfs.vfat; } || install_packages mtools dosfstools
begin update 21040
shop_port=$((PORT_BASE + 9))

# A bundle that must be refused with the words $2.
refused() {
    if said=$(update install "$1" 2>&1); then
        fail "$1 is installed: $said"
    fi
    echo "$said" | grep -q "$2" || fail "$1 is refused with other words: $said"
    is_in failed || fail "after $1 the phase is $(phase)"
    pass "$1: $(echo "$said" | grep "$2")"
}

# A small bundle $1 for the board $2 of the version $3, signed with the key $4 (.key and .pem) or this builder's.
small_bundle() {
    rm -rf "$SCRATCH/bundle"
    mkdir "$SCRATCH/bundle"
    head -c 1000000 /dev/urandom >"$SCRATCH/bundle/root.ext4"
    sign_bundle "$SCRATCH/bundle" "$SCRATCH/$1" "$2" "$3" "${4:-}"
}

take_root "$bundle"
newer=$(version_after 1)
# As step 70 does, so that it is as large as one that people get.
COMPRESSION=12 changed_bundle newer "$newer" </dev/null
changed_bundle pulled "$(version_after 2)" </dev/null
rm -r "$SCRATCH/good"

truncate -s $(($(stat -c %s "$SCRATCH/pulled.raucb") + 33554432)) "$SCRATCH/stick"
mkfs.vfat -F 32 "$SCRATCH/stick" >/dev/null
mcopy -i "$SCRATCH/stick" "$SCRATCH/pulled.raucb" ::/

new_disk "$image" "$SCRATCH/disk"
start_machine "$SCRATCH/disk" uefi -device qemu-xhci -drive if=none,id=stick,format=raw,file="$SCRATCH/stick"
wait_until 600 dashboard_answers >/dev/null || fail "A does not come up"
wait_until 120 runs_from A >/dev/null || fail "it does not run from A"
wait_until 300 has_proved A >/dev/null || fail "A does not prove itself"
kafclaw_inside memory remember '"The stopcock is behind the washing machine."' >&2

inside 'cat >/var/tmp/update.raucb' <"$bundle"
inside 'head -c 20000000 /var/tmp/update.raucb >/var/tmp/cut.raucb
    mv /var/tmp/update.raucb /var/tmp/changed.raucb
    dd if=/dev/urandom of=/var/tmp/changed.raucb bs=4096 seek=4000 count=64 conv=notrunc 2>/dev/null
    echo la la la >/var/tmp/song.raucb'
refused /var/tmp/cut.raucb 'cut off'
refused /var/tmp/song.raucb 'is no update'
refused /var/tmp/changed.raucb 'could not be written'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$SCRATCH/stranger.key" -out "$SCRATCH/stranger.pem" -days 3650 \
    -subj '/CN=KafClaw updates of this builder' 2>/dev/null
small_bundle stranger.raucb kafclaw-qemu-aarch64 9.9.9 "$SCRATCH/stranger"
small_bundle board.raucb kafclaw-jetson-nano 9.9.9
small_bundle older.raucb kafclaw-qemu-aarch64 0.0.9
for name in stranger board older; do inside "cat >/var/tmp/$name.raucb" <"$SCRATCH/$name.raucb"; done
refused /var/tmp/stranger.raucb 'signature'
refused /var/tmp/board.raucb 'this update is for kafclaw-jetson-nano'
refused /var/tmp/older.raucb '0.0.9'
inside 'rm /var/tmp/*.raucb'

setpriv --pdeathsig KILL tests/image/shop.py "$SCRATCH/newer.raucb" "$shop_port" >"$SCRATCH/asked" &
others="$others $!"
wait_until 10 grep -q ready "$SCRATCH/asked" >/dev/null || fail "the bundle is not served"
installed_from=$(now)
# The machine's name for who runs it.
update install "http://10.0.2.2:$shop_port/update.raucb" >&2 || fail "the bundle is not installed"
installed_s=$(since "$installed_from")
is_in awaiting_restart || fail "after the installation the phase is $(phase)"
[ "$(wc -l <"$SCRATCH/asked")" -ge 3 ] && [ "$(tail -n 1 "$SCRATCH/asked")" -gt 0 ] || fail "the download began anew: $(cat "$SCRATCH/asked")"
pass "downloaded over a line that broke, and installed, in $installed_s s"
record update_download_install_s "$installed_s"
old_id=$(boot_id)
update restart >&2 || true
up_s=$(wait_until 600 has_started_from B) || fail "B does not come up"
wait_until 300 has_proved B >/dev/null || fail "B does not prove itself"
wait_until 60 is_in confirmed >/dev/null || fail "in B the phase is $(phase)"
[ "$(running_version)" = "$newer" ] || fail "B is version $(running_version), not $newer"
pass "B, version $newer, is up after $up_s s, and has proved itself"
record update_restart_s "$up_s"

# Back to A, without a kernel; its file is still there.
inside 'debugfs -w -R "punch /boot/Image 0" /dev/kafclaw/root-a' >/dev/null 2>&1 || true
old_id=$(boot_id)
update rollback >&2 || fail "nobody may go back"
back_s=$(wait_until 900 has_started_from B) || fail "the machine does not come back"
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx A_TRY=3' || fail "A was not tried"
wait_until 300 has_proved B >/dev/null || fail "B does not prove itself again"
update status | grep -q 'slot A did not start' || fail "nobody says why it is back"
pass "back in B $back_s s after A was started without a kernel, and the reason is told"
record fallback_kernel_s "$back_s"
kafclaw_inside memory list | grep -q stopcock || fail "the memory is gone"
pass "what the home has told is there"

# A stick is pulled as soon as what is on it was copied.
wait_until 300 is_settled >/dev/null || fail "B is in phase $(phase)"
tell_machine 'device_add usb-storage,id=stick,drive=stick,removable=on'
wait_until 900 is_in installing >/dev/null || fail "the stick's update is not installed: $(phase), $(inside 'journalctl --no-pager -b -u "kafclaw-stick*" -u "kafclaw-bring*"')"
tell_machine 'device_del stick'
wait_until 60 inside 'test ! -e /run/media/*/pulled.raucb' >/dev/null || fail "the stick is still shown"
is_in installing || fail "it was written before the stick was pulled: $(phase)"
wait_until 900 is_in awaiting_restart >/dev/null || fail "the update ended with the stick: $(phase)"
pass "an update that was copied from a stick is installed to its end without the stick"
