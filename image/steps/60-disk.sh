#!/bin/sh
# The disk: file systems without mounting anything, then the partition table around them
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh

find "$WORK/root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
find "$WORK/esp" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
make_ext4 "$WORK/root.ext4" "$ROOT_MIB" root "$WORK/root" '^has_journal'

rm -f "$WORK/esp.fat"
truncate -s "$(listed image/partitions | awk '$1 == "esp" { print $2 }')M" "$WORK/esp.fat"
mkfs.vfat --invariant -F 32 -n KAFCLAW "$WORK/esp.fat" >/dev/null
(cd "$WORK/esp" && find . -mindepth 1 | LC_ALL=C sort) | while read -r name; do
    if [ -d "$WORK/esp/$name" ]; then
        mmd -i "$WORK/esp.fat" "::$name"
    else
        mcopy -m -i "$WORK/esp.fat" "$WORK/esp/$name" "::$name"
    fi
done

disk=$WORK/disk.img
rm -f "$disk"
start=1
listed image/partitions | while read -r name size type _; do
    case $name in root-*) size=$ROOT_MIB ;; esac
    echo "$name $start $size $type"
    start=$((start + size))
done >"$WORK/layout"
# One MiB at the end for the table's second copy.
truncate -s "$(awk '{ end = $2 + $3 } END { print end + 1 }' "$WORK/layout")M" "$disk"
set -- --clear --disk-guid="$(fixed_uuid disk)"
number=0
while read -r name start size type; do
    number=$((number + 1))
    set -- "$@" --new="$number:${start}M:+${size}M" --typecode="$number:$type" --change-name="$number:$name" \
        --partition-guid="$number:$(fixed_uuid "part $name")"
done <"$WORK/layout"
sgdisk "$@" "$disk" >/dev/null
while read -r name start _; do
    case $name in
    esp) content=$WORK/esp.fat ;;
    root-a) content=$WORK/root.ext4 ;;
    persist) content=$WORK/persist.ext4 ;;
    *) continue ;;
    esac
    # With its zeros: block maps leave out holes, and a card may have something else there.
    dd if="$content" of="$disk" bs=1M seek="$start" conv=notrunc status=none
done <"$WORK/layout"
