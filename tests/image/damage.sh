#!/bin/sh
# Damages the disk of a machine from outside while it is off, for who changes the initramfs, GRUB's counters or what systemd does when it cannot go on: it
# must come up by itself each time, with what can be had back. First the counters, the first block of `data` and a folder of `persist` are broken;
# then `persist` beyond mending, with another disk of the same image in the machine; then the root folder of `data`. `damage.sh [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. image/meta

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
has mcopy || install_packages mtools
has sgdisk || install_packages gdisk
begin damage 21070

# First byte of the partition $1 of the disk.
first_byte() {
    echo $(($(sgdisk -i "$1" "$SCRATCH/disk" | sed -n 's/^First sector: \([0-9]*\).*/\1/p') * 512))
}

# Writes standard input over the disk, $2 bytes into its partition $1.
overwrite() {
    dd of="$SCRATCH/disk" bs=4096 oflag=seek_bytes seek=$(($(first_byte "$1") + $2)) conv=notrunc status=none
}

# Commands in standard input to debugfs, which writes on the partition $1.
debug() {
    debugfs -w -f - "$SCRATCH/disk?offset=$(first_byte "$1")" >"$SCRATCH/told" 2>&1
    ! grep -qi 'not found\|could not\|usage' "$SCRATCH/told" || fail "it is not damaged as it should be: $(cat "$SCRATCH/told")"
}

is_whole() {
    e2fsck -f -n "$SCRATCH/disk?offset=$(first_byte "$1")" >"$SCRATCH/told" 2>&1
}

has_copied() {
    inside 'cmp -s /efi/EFI/BOOT/grubenv /efi/EFI/BOOT/grubenv.bak && grep -q A_TRY=0 /efi/EFI/BOOT/grubenv'
}

power_off() {
    inside 'systemctl --no-block poweroff' 2>/dev/null
    wait "$machine" || fail "it does not switch itself off"
    machine=
}

# Starts it with what qemu is told besides, until somebody gets in.
comes_up() {
    start_machine "$SCRATCH/disk" uefi "$@"
    took=$(wait_until 900 dashboard_answers) || fail "it does not come up"
    wait_until 120 inside true >/dev/null || fail "no way in"
}

new_disk "$image" "$SCRATCH/disk"
comes_up
wait_until 300 has_copied >/dev/null || fail "the counters have no copy: $(inside 'ls -l /efi/EFI/BOOT; journalctl --no-pager -u "kafclaw-co*"')"
kafclaw_inside memory remember '"The stopcock is behind the washing machine."' >&2 || fail "nothing is remembered"
own_secrets >"$SCRATCH/own"
power_off

head -c 1024 /dev/zero >"$SCRATCH/zeros"
mcopy -o -i "$SCRATCH/disk@@1M" "$SCRATCH/zeros" ::/EFI/BOOT/grubenv
# A folder is found to be broken only where all is looked at, which the mark asks for.
echo 'blocks /lost+found' | debugfs -f - "$SCRATCH/disk?offset=$(first_byte 4)" 2>/dev/null | tail -n 1 | cut -d ' ' -f 1 >"$SCRATCH/block"
echo 'set_super_value state 2' | debug 4
head -c 4096 /dev/urandom | overwrite 4 $(($(cat "$SCRATCH/block") * 4096))
e2fsck -p "$SCRATCH/disk?offset=$(first_byte 4)" >"$SCRATCH/told" 2>&1 && fail "persist was not damaged: $(cat "$SCRATCH/told")"
head -c 4096 /dev/zero | overwrite 5 0
rm "$SCRATCH/console"
comes_up
grep -aq 'vda5 is damaged' "$SCRATCH/console" && grep -aq 'vda4 is damaged' "$SCRATCH/console" || fail "nobody says what is damaged"
runs_from A || fail "it runs from an empty slot"
wait_until 300 has_copied >/dev/null || fail "the counters do not come back: $(inside 'journalctl --no-pager -b -u kafclaw-confirm')"
inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx B_OK=0' || fail "the counters are not those of before"
own_secrets | cmp -s - "$SCRATCH/own" || fail "it is not the machine of before"
kafclaw_inside memory list | grep -q stopcock || fail "the memory is gone"
power_off
is_whole 4 || fail "persist is still damaged: $(cat "$SCRATCH/told")"
is_whole 5 || fail "data is still damaged: $(cat "$SCRATCH/told")"
pass "with its counters and the first block of data gone and persist damaged it comes up by itself ($took s), as the same machine"
record damage_back_s "$took"

# Another disk, whose name comes before that of its own; who owns the machine gives it a key once more.
zstd -q -d "$image" -o "$SCRATCH/other" --sparse
echo 'set_super_value blocks_count 999999' | debug 4
mcopy -o -i "$SCRATCH/disk@@1M" "$SCRATCH/kafclaw.json" ::/kafclaw.json
old_id=$(head -n 1 "$SCRATCH/own")
rm "$SCRATCH/console"
comes_up -drive if=none,id=other,format=raw,file="$SCRATCH/other" -device nvme,drive=other,serial=other
grep -aq 'vda4 is lost; this machine gets another identity' "$SCRATCH/console" || fail "nobody says that persist is lost"
inside 'test -b /dev/nvme0n1p2' || fail "there is no other disk: $(inside lsblk)"
inside 'test "$(readlink -f /dev/kafclaw/root-a)" = /dev/vda2 && findmnt -no SOURCE /persist | grep -qx /dev/vda4 && findmnt -no SOURCE /var | grep -qx /dev/vda5' ||
    fail "it took the other disk: $(inside 'ls -l /dev/kafclaw; cat /proc/cmdline /proc/mounts')"
new_id=$(own_secrets | head -n 1)
[ "$new_id" != "$old_id" ] || fail "its identity is that of the lost persist"
inside 'findmnt -no FSTYPE /persist | grep -qx ext4' || fail "the new identity will be lost again"
kafclaw_inside memory list | grep -q stopcock || fail "the memory is gone"
power_off
pass "with persist lost and another disk of the same image beside its own, it comes up from its own disk, as a new machine that remembers ($took s)"

# Nothing tells of this damage before it is mounted; what was in the folder is in lost+found afterwards.
echo 'clri <2>' | debug 5
rm "$SCRATCH/console"
start_machine "$SCRATCH/disk" uefi
wait_until 900 grep -aq 'KafClaw cannot start' "$SCRATCH/console" >/dev/null || fail "nobody says that it cannot start"
took=$(wait_until 900 dashboard_answers) || fail "it does not come up after that"
pass "without the root folder of data it says so, mends it, and comes up as if for the first time ($took s later)"
