#!/bin/sh
# The root file system: packages, the overlays of image/rootfs and of the board, the program, its libraries and models, the kernel
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh
. "board/$BOARD/hook.sh"

root=$WORK/root
rm -rf "$root"
mkdir -p "$root"
# What the packages put into /var is made anew on each device, by tmpfiles.d; packages cannot be changed there.
tar -xf "$WORK/base.tar" -C "$root" --exclude './dev/*' --exclude './var/cache/*' --exclude './var/lib/apt/*' --exclude './var/log/*'
install -D -m 644 "$root/var/lib/dpkg/status" "$WORK/dpkg-status"
rm -rf "${root:?}/var" "${root:?}/boot"
listed image/files.absent | while read -r name; do rm -rf "${root:?}/$name"*; done
mkdir -p "$root/var" "$root/boot/dtbs" "$root/efi" "$root/persist"
# Keys, ids and addresses that were made while packages were configured would be the same on every device.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/etc/passwd- "$root"/etc/shadow- "$root"/etc/group- \
    "$root"/etc/gshadow- "$root/etc/.pwd.lock"
: >"$root/etc/machine-id"
ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
ln -sfn ../proc/self/mounts "$root/etc/mtab"
# The owner's, and where clocks of the house stand.
ln -sfn ../persist/localtime "$root/etc/localtime"
rm -f "$root/etc/timezone"
# Rules of the radio as kernel.org signed them: Debian's own signature is known to Debian's kernel alone, not to vendors'.
for name in regulatory.db regulatory.db.p7s; do ln -sfn "/lib/firmware/$name-upstream" "$root/etc/alternatives/$name"; done

overlay "$REPO/image/rootfs" "$root"
overlay "$REPO/board/$BOARD/rootfs" "$root"
if [ -d "$WORK/vendor/rootfs" ]; then
    overlay "$WORK/vendor/rootfs" "$root"
fi

# The program and what it finds things by meaning with.
install -D -m 755 "${KAFCLAW_BINARY:-$REPO/target/dist/kafclaw}" "$root/usr/bin/kafclaw"
install -D -m 644 "$(onnxruntime_for aarch64)" "$root/usr/lib/kafclaw/libonnxruntime.so"
mkdir -p "$root/usr/share/kafclaw"
overlay "$REPO/models" "$root/usr/share/kafclaw/models"
install -m 644 "$REPO/LICENSE" "$root/usr/share/kafclaw/LICENSE"
if [ "$WORKER" = cuda ]; then
    worker=${KAFCLAW_WORKER:-$REPO/target/dist/worker-cuda}
    if [ -e "$worker" ]; then
        install -D -m 755 "$worker" "$root/usr/lib/kafclaw/worker-cuda"
    else
        say "      without the worker for its GPU; models will run on the processor"
    fi
fi

# How the counters of GRUB are written, out of a package whose rest is not wanted.
grub=$(ingredient grub-common)
install -m 755 "$grub/usr/bin/grub-editenv" "$root/usr/bin/grub-editenv"

# The kernel of a slot lies in the slot, so that an update changes both or none.
version=$(cat "$WORK/kernel/version")
install -m 644 "$WORK/kernel/Image" "$root/boot/Image"
overlay "$WORK/kernel/dtbs" "$root/boot/dtbs"
mkdir -p "$root/usr/lib/modules"
cp -r "$WORK/kernel/modules/$version" "$root/usr/lib/modules/$version"

# Who this is: read by the program, by updates and by people.
cat >>"$root/usr/lib/os-release" <<END
IMAGE_ID=$PRODUCT-$BOARD
IMAGE_VERSION=$VERSION
VARIANT_ID=$BOARD
END
mkdir -p "$root/etc/rauc"
sed "s/@COMPATIBLE@/$COMPATIBLE/" "$REPO/image/ota/system.conf" >"$root/etc/rauc/system.conf"
install -m 644 "$(update_keyring)" "$root/etc/rauc/keyring.pem"

# Users, services and the list of what runs, as the device itself would make them, without starting anything.
systemd-sysusers --root="$root"
systemctl --root="$root" preset-all 2>&1 | grep -v 'Created symlink\|Removed' >&2 || true
listed "$REPO/image/masked" | while read -r unit; do ln -sfn /dev/null "$root/etc/systemd/system/$unit"; done
rm -f "$root"/etc/passwd- "$root"/etc/shadow- "$root"/etc/group- "$root"/etc/gshadow- "$root/etc/.pwd.lock"
board_root "$root"
# Where programs find libraries, by the image's own: this machine's passes over those of other processors.
need_emulation
"$root/usr/sbin/ldconfig" -r "$root"
rm -rf "${root:?}"/var/*
touch -d "@$SOURCE_DATE_EPOCH" "$root/usr/lib/clock-epoch"
say "      $(du -sm "$root" | cut -f 1) MiB"
