#!/bin/sh
# Updates that differ from what the image holds, for the tests beside this that take a machine through them.
# Read with `.` after recipe.sh and machine.sh, of no use alone.
set -eu

. board/qemu-aarch64/meta

# The version that is $1 steps after the image's.
version_after() {
    printf '%s.%d\n' "${VERSION%.*}" $((${VERSION##*.} + $1))
}

# Signs the folder $1, which holds a root file system, as the bundle $2 for the board $3 of the version $4; with the key $5 (.key and .pem) or
# this builder's. Compressed as quickly as can be, unless COMPRESSION says how well.
sign_bundle() {
    sed "s/@COMPATIBLE@/$3/; s/@VERSION@/$4/; s/@BUILD@/$SNAPSHOT/" image/ota/manifest.raucm >"$1/manifest.raucm"
    certificate=${KAFCLAW_UPDATE_CERT:-$KEYS/update.pem}
    key=${KAFCLAW_UPDATE_KEY:-$KEYS/update.key}
    [ -z "${5:-}" ] || { certificate=$5.pem key=$5.key; }
    rauc bundle --mksquashfs-args="-comp zstd -Xcompression-level ${COMPRESSION:-1} -b 256k" --cert="$certificate" --key="$key" "$1" "$2" >"$SCRATCH/told" 2>&1 ||
        fail "$2 cannot be made: $(cat "$SCRATCH/told")"
}

# Takes the root file system out of the bundle $1, for `changed_bundle`.
take_root() {
    mkdir "$SCRATCH/good"
    unsquashfs -q -n -f -d "$SCRATCH/good" "$1" root.ext4 >"$SCRATCH/told" 2>&1 || fail "the bundle cannot be read: $(cat "$SCRATCH/told")"
    debugfs -R 'cat /usr/lib/os-release' "$SCRATCH/good/root.ext4" 2>/dev/null >"$SCRATCH/os-release"
    grep -qx "IMAGE_VERSION=$VERSION" "$SCRATCH/os-release" || fail "the bundle does not say which version it is"
}

# The taken root as version $2, changed by the commands of debugfs in standard input, as the bundle $SCRATCH/$1.raucb.
changed_bundle() {
    mkdir "$SCRATCH/$1"
    cp --sparse=always "$SCRATCH/good/root.ext4" "$SCRATCH/$1/root.ext4"
    sed "s/^IMAGE_VERSION=.*/IMAGE_VERSION=$2/" "$SCRATCH/os-release" >"$SCRATCH/os-release.new"
    {
        printf 'rm /usr/lib/os-release\nwrite %s /usr/lib/os-release\nset_inode_field /usr/lib/os-release mode 0100644\n' "$SCRATCH/os-release.new"
        cat
    } | debugfs -w -f - "$SCRATCH/$1/root.ext4" >"$SCRATCH/told" 2>&1
    ! grep -q 'File not found\|Could not' "$SCRATCH/told" || fail "$1 cannot be made: $(cat "$SCRATCH/told")"
    sign_bundle "$SCRATCH/$1" "$SCRATCH/$1.raucb" "$COMPATIBLE" "$2"
    rm -r "${SCRATCH:?}/$1"
}

# The command as who administers the machine runs it, and what it knows of where the update is.
update() {
    inside kafclaw update "$@"
}

phase() {
    inside 'kafclaw update status --json | jq -r .phase'
}

is_in() {
    [ "$(phase)" = "$1" ]
}

# The version of the system that runs.
running_version() {
    inside 'kafclaw update status --json | jq -r .version'
}

# Whether no update is under way, neither one that is written nor one that proves itself, and this start of the system has proved itself too, which
# the next update waits for.
is_settled() {
    inside 'kafclaw update status --json' | jq -e '.proved and (.phase | IN("idle", "awaiting_restart", "confirmed", "failed", "rolled_back"))' >/dev/null
}
