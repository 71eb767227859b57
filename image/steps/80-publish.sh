#!/bin/sh
# What is handed out: the compressed image, its block map, what it is made of, checksums
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh

bmaptool -q create -o "$OUT/$NAME.bmap" "$WORK/disk.img"
# Its only date.
sed -i "s/^<!-- .* created .* -->$//I" "$OUT/$NAME.bmap"
zstd -q -f -T2 -12 "$WORK/disk.img" -o "$OUT/$NAME.img.zst"
scripts/bill.py --dpkg-status "$WORK/dpkg-status" --cargo-lock Cargo.lock --about "$WORK/kernel/about" --parts "$WORK/parts" "$WORK/vendor/parts" \
    --models models --onnxruntime "$ONNXRUNTIME" --name "$NAME" --version "$VERSION" --epoch "$SOURCE_DATE_EPOCH" >"$OUT/$NAME.cdx.json"
(cd "$OUT" && sha256sum "$NAME.img.zst" "$NAME.bmap" "$NAME.cdx.json" $([ ! -e "$NAME.raucb" ] || echo "$NAME.raucb $PRODUCT-$BOARD.json")) >"$OUT/$NAME.sha256"
