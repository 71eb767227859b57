#!/bin/sh
# Prints the folder of what programs for ARM need of Debian when they are started here, for the tests beside this: out of its packages
# for that processor, kept in the cache.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh

packages='libc6 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1 libstdc++6 libgcc-s1'
libraries=$CACHE/libraries-$(origin)-$(echo "$packages" | sha256sum | cut -c 1-8)
if [ ! -d "$libraries" ]; then
    rm -rf "$libraries.new"
    mkdir -p "$libraries.new"
    for package in $packages; do
        files=$(unpacked $package)
        cp -r "$files/." "$libraries.new"
    done
    mv "$libraries.new" "$libraries"
fi
printf '%s\n' "$libraries"
