#!/bin/sh
# Measures speed and size of the release build, for who wants numbers: one JSON line per figure on standard output.
# Arguments are names of figures; without any, all are measured. Each ratio and its reference come from the same run. `image` are the figures of the
# image that QEMU boots, which tests/image note: what they have not measured since it was made is measured now.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

if [ "$*" = image ]; then
    . image/meta
    image=target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst
    if [ ! -e "$image" ]; then
        scripts/build.sh >/dev/null
        scripts/image.sh qemu-aarch64 >/dev/null
    fi
    figures=target/image/figures
    for test in boot-uefi alone power update fallback; do
        [ -z "$(find "$figures/$test.jsonl" -newer "$image" 2>/dev/null)" ] || continue
        tests/image/${test%-uefi}.sh >&2
    done
    cat $figures/*.jsonl
    exit 0
fi

need_build
need_broker
need_onnxruntime
need_kafka
need_cables
with_cables cargo bench --locked --quiet --bench figures -- "$@"
