#!/bin/sh
# Makes the image that QEMU boots once more, from its packages on, for who changes the recipe: the same inputs must give the same image, block map
# and bill of materials, to the last bit. Bundles differ by their signature, what they hold does not. `again.sh`, when there is an image.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh

need_image
name=$PRODUCT-qemu-aarch64-$VERSION
sums=target/image/$name.sha256
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# What would be taken from an earlier run instead of being made.
forget_what_was_made() {
    rm -rf "${CARGO_TARGET_DIR:?}/image/qemu-aarch64"
    rm -f "$CACHE"/base-*.tar
}

made() {
    grep -v 'raucb$\|json$' "$sums"
    grep 'cdx.json$' "$sums"
}

made >"$scratch/before"
[ "$(wc -l <"$scratch/before")" -eq 3 ] || { say "FAIL there is no image to compare with"; exit 1; }
unsquashfs -q -n -f -d "$scratch/bundle" "target/image/$name.raucb" root.ext4 >&2
sha256sum <"$scratch/bundle/root.ext4" >"$scratch/root-before"
rm -r "$scratch/bundle"
forget_what_was_made
scripts/image.sh qemu-aarch64 >/dev/null
made >"$scratch/after"
for part in busybox-static e2fsck-static grub-common grub-efi-arm64-bin linux-image-; do
    grep -q "\"pkg:deb/debian/$part" "target/image/$name.cdx.json" || { say "FAIL the bill of materials lacks $part"; exit 1; }
done
cmp -s "$scratch/before" "$scratch/after" || { say "FAIL made again, it is another one:"; diff "$scratch/before" "$scratch/after" >&2; exit 1; }
unsquashfs -q -n -f -d "$scratch/bundle" "target/image/$name.raucb" root.ext4 >&2
sha256sum <"$scratch/bundle/root.ext4" | cmp -s - "$scratch/root-before" || { say "FAIL made again, the bundle holds another system"; exit 1; }
say "ok   made again from its packages, it is the same: $(grep 'img.zst$' "$scratch/after" | cut -c 1-16)..."
