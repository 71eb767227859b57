#!/bin/sh
# The small initramfs: busybox, a file system check, the drivers of disks, and image/initramfs/init
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh

# Asked for first: inside another command nobody would see that there is none, and this machine's own would be taken.
busybox=$(ingredient busybox-static)
check=$(ingredient e2fsck-static)
tree=$WORK/initramfs
version=$(cat "$WORK/kernel/version")
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/lib/modules/$version" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/root" "$tree/run"
install -m 755 "$busybox/bin/busybox" "$tree/bin/busybox"
install -m 755 "$check/sbin/e2fsck.static" "$tree/bin/e2fsck"
ln -s busybox "$tree/bin/sh"
install -m 755 image/initramfs/init "$tree/init"
install -m 644 image/initramfs/reset "$tree/reset"
# What a factory reset puts in the place of `persist`.
mkdir -p "$WORK/nothing"
touch -d "@$SOURCE_DATE_EPOCH" "$WORK/nothing"
make_ext4 "$WORK/persist.ext4" "$(listed image/partitions | awk '$1 == "persist" { print $2 }')" persist "$WORK/nothing" has_journal
gzip -n -9 <"$WORK/persist.ext4" >"$tree/persist.gz"

# Drivers with all that they need, as modules.dep tells; a kernel that has one built in does not list it.
modules=$WORK/kernel/modules/$version
: >"$WORK/initramfs.modules"
listed image/initramfs/modules | while read -r name; do
    grep -E "(^|/)$name\.ko(\.[a-z]+)?:" "$modules/modules.dep" | tr -d : | tr ' ' '\n' >>"$WORK/initramfs.modules" || true
done
sort -u "$WORK/initramfs.modules" | while read -r file; do
    [ -z "$file" ] || install -D -m 644 "$modules/$file" "$tree/lib/modules/$version/$file"
done
cp "$modules/modules.builtin" "$modules/modules.order" "$tree/lib/modules/$version/" 2>/dev/null || true
depmod -b "$tree" "$version"
listed image/initramfs/first >"$tree/first"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$tree" && find . | LC_ALL=C sort | cpio --quiet --reproducible --owner=0:0 -o -H newc) | zstd -q -19 -T1 >"$WORK/initrd"
install -m 644 "$WORK/initrd" "$WORK/root/boot/initrd"
say "      $(($(wc -c <"$WORK/initrd") / 1024)) KiB"
