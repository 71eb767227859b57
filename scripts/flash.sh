#!/bin/sh
# Writes an image to a card or disk that is to be put into a board, for who sets one up: `flash.sh IMAGE.img.zst /dev/DISK`. Refuses what
# is mounted, built in, or too small; asks for the disk's name once more (not with --yes); reads everything back afterwards.
# Without a disk it lists those that it would write to.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/need.sh"

usage() {
    sed -n '2,4s/^# //p' "$0" >&2
    exit 64
}

# A card, a stick, or a file behind a loop device: what can be taken out again. Memory that is soldered to a board (eMMC) hangs at the
# same kind of controller as cards do, and is told from them by what it calls itself.
can_be_taken_out() {
    case ${1##*/} in
    mmcblk*) [ "$(cat "${KAFCLAW_SYSFS:-/sys}/block/${1##*/}/device/type" 2>/dev/null)" = SD ] || return 1 ;;
    esac
    case $(lsblk -dnro TYPE,RM,HOTPLUG,TRAN "$1" 2>/dev/null) in
    'loop '* | 'disk 1 '* | 'disk 0 1'*) return 0 ;;
    *) return 1 ;;
    esac
}

yes=
image=
disk=
for word in "$@"; do
    case $word in
    --yes) yes=yes ;;
    -*) usage ;;
    *) if [ -z "$image" ]; then image=$word; elif [ -z "$disk" ]; then disk=$word; else usage; fi ;;
    esac
done
[ -f "$image" ] || usage
has bmaptool || install_packages bmap-tools
has zstd || install_packages zstd
base=${image%.img.zst}
map=$base.bmap
[ -f "$map" ] || { say "$map is missing: it comes with the image."; exit 1; }

if [ -z "$disk" ]; then
    say "Disks that can be taken out:"
    for found in $(lsblk -dnpro NAME); do
        can_be_taken_out "$found" && [ "$(lsblk -dnbo SIZE "$found")" -gt 0 ] && lsblk -dno NAME,SIZE,VENDOR,MODEL "$found" >&2
    done
    exit 64
fi

disk=$(realpath "$disk")
[ -b "$disk" ] || { say "$disk is not a disk."; exit 1; }
case $(lsblk -dnro TYPE "$disk") in
disk | loop) ;;
*) say "$disk is a part of a disk: please name the whole one."; exit 1 ;;
esac
can_be_taken_out "$disk" || { say "$disk is built into this machine, and nothing is written to such disks."; exit 1; }
[ -w "$disk" ] || { say "$(id -un) may not write to $disk: please run this with sudo."; exit 1; }
mounts=$(lsblk -nro NAME,MOUNTPOINT "$disk") || { say "Nobody could say whether $disk is in use."; exit 1; }
used=$(echo "$mounts" | awk 'NF > 1')
[ -z "$used" ] || { say "$disk is in use; please unmount: $used"; exit 1; }
wanted=$(sed -n 's/.*<ImageSize> *\([0-9]*\).*/\1/p' "$map")
has_bytes=$(lsblk -dnbo SIZE "$disk")
# The data partition is made in what is left.
if [ "$has_bytes" -lt $((wanted + 1073741824)) ]; then
    say "$disk has $((has_bytes / 1048576)) MiB, and $(((wanted + 1073741824) / 1048576)) are needed."
    exit 1
fi

say "Looking at $image ..."
if [ -f "$base.sha256" ]; then
    (cd "$(dirname "$base")" && grep -E '\.(img\.zst|bmap)$' "$(basename "$base").sha256" | sha256sum --check --quiet) ||
        { say "It is damaged: please fetch it again."; exit 1; }
else
    say "There are no checksums beside it; it is taken as it is."
fi
if [ -z "$yes" ]; then
    lsblk -o NAME,SIZE,VENDOR,MODEL,LABEL "$disk" >&2
    printf 'Everything on it will be lost. Type %s to go on: ' "$disk" >&2
    answer=
    read -r answer || true
    [ "$answer" = "$disk" ] || { say "Nothing was written."; exit 1; }
fi

bmaptool copy --bmap "$map" "$image" "$disk" >&2
sync

# What was written, as the map says it must be; past the cache where the disk can do that.
say "Reading it back ..."
block=$(sed -n 's/.*<BlockSize> *\([0-9]*\).*/\1/p' "$map")
ranges=$(sed -n 's/.*<Range chksum="\([0-9a-f]*\)"> *\([0-9]*\)-*\([0-9]*\) *<.*/\1 \2 \3/p' "$map")
total=$(printf '%s\n' "$ranges" | grep -c .) || true
if [ -z "$block" ] || [ "$total" -eq 0 ] || [ "$total" -ne "$(grep -c '<Range' "$map")" ]; then
    say "$map does not say what should be on the disk: please fetch it again."
    exit 1
fi
number=0
printf '%s\n' "$ranges" | while read -r sum first last; do
    number=$((number + 1))
    printf '\r  part %s of %s' "$number" "$total" >&2
    is=$(dd if="$disk" bs="$block" skip="$first" count=$((${last:-$first} - first + 1)) iflag=direct status=none | sha256sum | cut -d ' ' -f 1)
    [ "$is" = "$sum" ] || { say "
$disk does not keep what is written to it (blocks from $first): please use another one."; exit 1; }
done
say "
Done: it may be taken out."
about=board/$(basename "$base" | sed 's/^[a-z]*-\(.*\)-[0-9][0-9.]*$/\1/')/README.md
if [ -f "$here/$about" ]; then
    once=$(sed -n '/^## Once per board$/,/^## What/{ /^##/d; /^```/d; p; }' "$here/$about")
    [ -z "$once" ] || say "
Once per board, before it is started from this disk:
$once"
    say "
What to look at at the first start: $about"
fi
