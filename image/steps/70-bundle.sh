#!/bin/sh
# The update that brings a slot to the same state: a signed RAUC bundle
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh

# Waves of automatic updates count from its release: by the index, and by the manifest where a hub hands the bundle on. That is now, unless
# whoever publishes it later says when (KAFCLAW_RELEASED_AT, such as 2026-11-21T12:00:00Z).
released=$(date -u -d "${KAFCLAW_RELEASED_AT:-now}" +%FT%TZ)
build=$(date -u -d "$released" +%Y%m%dT%H%M%SZ)
bundle=$WORK/bundle
rm -rf "$bundle"
mkdir -p "$bundle"
ln "$WORK/root.ext4" "$bundle/root.ext4"
sed "s/@COMPATIBLE@/$COMPATIBLE/; s/@VERSION@/$VERSION/; s/@BUILD@/$build/" image/ota/manifest.raucm >"$bundle/manifest.raucm"
rm -f "$OUT/$NAME.raucb"
keyring=$(update_keyring)
# Read by the kernel that runs: those of vendors were built without zstd.
compression='-comp zstd -Xcompression-level 12'
[ "$KERNEL" = debian ] || compression='-comp gzip'
rauc bundle --mksquashfs-args="$compression -b 256k" --cert="${KAFCLAW_UPDATE_CERT:-$KEYS/update.pem}" --key="${KAFCLAW_UPDATE_KEY:-$KEYS/update.key}" \
    --keyring="$keyring" "$bundle" "$OUT/$NAME.raucb" >&2
# The index that hubs ask for newer versions; its name stays, so that its address does.
cat >"$OUT/$PRODUCT-$BOARD.json" <<END
{
    "version": "$VERSION",
    "released_at": "$released",
    "bundles": [{"compatible": "$COMPATIBLE", "url": "$NAME.raucb", "bytes": $(stat -c %s "$OUT/$NAME.raucb")}]
}
END
