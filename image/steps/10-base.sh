#!/bin/sh
# The packages, unpacked and configured by themselves under emulation (minutes; kept until their list changes)
# A step of scripts/image.sh, which sets what is written in capitals here and shows people the line above.
set -eu

. scripts/need.sh
. image/steps/lib.sh

sources=$(debian_sources)
inputs=$({ listed image/packages; echo "$SUITE $SNAPSHOT $sources" && grep -v "^ *#" "$0"; } | sha256sum | cut -c 1-16)
ln -sfn "$CACHE/base-$inputs.tar" "$WORK/base.tar"
if [ -e "$CACHE/base-$inputs.tar" ]; then
    say "      as fetched on $(date -u -r "$CACHE/base-$inputs.tar" +%F); scripts/image.sh --fresh asks for newer ones"
    exit 0
fi

need_emulation
echo "$sources" >"$WORK/sources.list"
packages=$(listed image/packages | paste -sd, -)
mmdebstrap --architectures=arm64 --variant=minbase --include="$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    "$SUITE" "$CACHE/base.new.tar" "$WORK/sources.list" >&2
mv "$CACHE/base.new.tar" "$CACHE/base-$inputs.tar"
# Older ones are of no use any more.
find "$CACHE" -maxdepth 1 -name 'base-*.tar' ! -name "base-$inputs.tar" -delete
