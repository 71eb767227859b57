#!/bin/sh
# Writes a small image to a stand-in for a card with scripts/flash.sh, and sees that it refuses every disk that it must, for who changes
# that. The stand-in is a file behind a loop device, which needs root; whatever goes wrong, no real disk is ever named.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh

if [ "$(id -u)" -ne 0 ] || ! losetup --find >/dev/null 2>&1; then
    say "flash: needs root and loop devices, and was left out."
    # Where changes are checked, nothing is left out.
    [ -z "${CI:-}" ] || exit 1
    exit 0
fi
has bmaptool || install_packages bmap-tools
has zstd || install_packages zstd

scratch=$(mktemp -d)
disk=
finish() {
    code=$?
    trap - EXIT
    umount "$scratch/mounted" 2>/dev/null || true
    [ -z "$disk" ] || losetup -d "$disk"
    rm -rf "$scratch"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# An image with a hole in it, as the recipe hands them out; the name is that of a board that has to be prepared.
name=$scratch/kafclaw-jetson-orin-nano-0.1.0
truncate -s 8M "$scratch/image"
dd if=/dev/urandom of="$scratch/image" bs=64k count=20 conv=notrunc status=none
dd if=/dev/urandom of="$scratch/image" bs=64k seek=100 count=9 conv=notrunc status=none
bmaptool -q create -o "$name.bmap" "$scratch/image"
zstd -q "$scratch/image" -o "$name.img.zst"
(cd "$scratch" && sha256sum "${name##*/}.img.zst" "${name##*/}.bmap" >"$name.sha256")
truncate -s 1100M "$scratch/card"
disk=$(losetup --find --show "$scratch/card")

# Another lsblk, which says of the stand-in what FACTS says and knows the rest from the real one; another bmaptool, which writes nothing.
mkdir -p "$scratch/other" "$scratch/idle" "$scratch/mounted" "$scratch/dev"
cat >"$scratch/other/lsblk" <<END
#!/bin/sh
case \$1,\$2 in
-dnro,TYPE) echo "\${FACTS%% *}" ;;
-dnro,TYPE,*) echo "\$FACTS" ;;
*) exec $(command -v lsblk) "\$@" ;;
esac
END
printf '#!/bin/sh\n' >"$scratch/idle/bmaptool"
chmod +x "$scratch/other/lsblk" "$scratch/idle/bmaptool"

# The card as far as the image would reach, and further.
front() {
    head -c 16M "$scratch/card" | sha256sum
}

# Fails with the word $1 and leaves the card as it is; the rest is the command.
refuses() {
    word=$1
    shift
    before=$(front)
    if "$@" >"$scratch/said" 2>&1 </dev/null; then
        say "flash: it should have been refused ($word):" && cat "$scratch/said" >&2
        exit 1
    fi
    grep -q "$word" "$scratch/said" || { say "flash: $word is not what it says:" && cat "$scratch/said" >&2 && exit 1; }
    [ "$(front)" = "$before" ] || { say "flash: it was refused ($word) and written all the same." && exit 1; }
}

# A disk of the machine itself.
refuses 'built into this machine' env FACTS='disk 0 0 sata' PATH="$scratch/other:$PATH" scripts/flash.sh --yes "$name.img.zst" "$disk"
refuses 'built into this machine' env FACTS='disk 0 0 nvme' PATH="$scratch/other:$PATH" scripts/flash.sh --yes "$name.img.zst" "$disk"
# Memory on the board itself, at a controller for cards: only what calls itself SD is a card.
mknod "$scratch/dev/mmcblk7" b "0x$(stat -c %t "$disk")" "0x$(stat -c %T "$disk")"
mkdir -p "$scratch/sys/block/mmcblk7/device"
mmc() {
    env FACTS='disk 0 1' KAFCLAW_SYSFS="$scratch/sys" PATH="$scratch/other:$1$PATH" scripts/flash.sh --yes "$name.img.zst" "$scratch/dev/mmcblk7"
}
refuses 'built into this machine' mmc ''
echo MMC >"$scratch/sys/block/mmcblk7/device/type"
refuses 'built into this machine' mmc ''
echo SD >"$scratch/sys/block/mmcblk7/device/type"
refuses 'does not keep what is written' mmc "$scratch/idle:"
# An administrator's disk, for who is none: told before anything is asked. Root writes everywhere, unless that is taken from it.
mkdir -p "$scratch/own/scripts"
cp scripts/flash.sh scripts/need.sh "$scratch/own/scripts"
chmod 440 "$scratch/dev/mmcblk7"
refuses 'run this with sudo' env FACTS='disk 0 1' KAFCLAW_SYSFS="$scratch/sys" PATH="$scratch/other:$PATH" \
    setpriv --bounding-set -dac_override "$scratch/own/scripts/flash.sh" "$name.img.zst" "$scratch/dev/mmcblk7"
# No disk, a part of one, one in use, one that is too small, an image that was changed on its way, a map that says nothing, a no.
refuses 'is not a disk' scripts/flash.sh --yes "$name.img.zst" "$scratch/card"
refuses 'part of a disk' env FACTS='part 1 1 usb' PATH="$scratch/other:$PATH" scripts/flash.sh --yes "$name.img.zst" "$disk"
mkfs.ext4 -q -F "$disk"
mount "$disk" "$scratch/mounted"
refuses 'is in use' scripts/flash.sh --yes "$name.img.zst" "$disk"
umount "$scratch/mounted"
truncate -s 900M "$scratch/card"
losetup -c "$disk"
refuses 'MiB, and' scripts/flash.sh --yes "$name.img.zst" "$disk"
truncate -s 1100M "$scratch/card"
losetup -c "$disk"
cp "$name.bmap" "$scratch/map"
sed -i 's/<Range /<range /' "$name.bmap"
refuses 'It is damaged' scripts/flash.sh --yes "$name.img.zst" "$disk"
mv "$name.sha256" "$scratch/sums"
refuses 'does not say what should be' env PATH="$scratch/idle:$PATH" scripts/flash.sh --yes "$name.img.zst" "$disk"
mv "$scratch/sums" "$name.sha256"
mv "$scratch/map" "$name.bmap"
refuses 'Nothing was written' scripts/flash.sh "$name.img.zst" "$disk"

# Whoever agrees has it written, and is told what the board needs.
echo "$disk" | scripts/flash.sh "$name.img.zst" "$disk" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2 && exit 1; }
cmp -n "$(stat -c %s "$scratch/image")" "$scratch/image" "$disk"
for word in 'Done' 'Once per board' '--qspi-only' 'board/jetson-orin-nano/README.md'; do
    grep -q -e "$word" "$scratch/said" || { say "flash: $word is not told:" && cat "$scratch/said" >&2 && exit 1; }
done
say "flash: refused what it must, wrote and read back $(stat -c %s "$scratch/image") bytes."
