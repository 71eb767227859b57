#!/bin/sh
# Builds the disk image of a board, for who flashes one: `image.sh <board>`, out of image/ and board/<board>/, into target/image/.
# Boards whose vendor must be asked need `--vendor FILE`, the archive that the vendor's own page gives out, `--sha256 SUM` as it stands
# there, and, once its licence was read, `--accept-license`. `--only STEP` does one step again. The same inputs make the same image; what takes long is kept
# in the user's cache by the hash of its inputs. Runs as root, or as anybody who has subordinate ids and user namespaces.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

usage() {
    sed -n '2,7s/^# //p' "$0" >&2
    say "Boards: $(cd board && echo */ | tr -d /)"
    exit 64
}

# What is set from here on is for the steps.
set -a
REPO=$PWD
BOARD=${1:-}
[ -f "board/${BOARD:-none}/meta" ] || usage
shift
VENDOR_FILE=
VENDOR_SUM=
LICENSE_ACCEPTED=
ONLY=
while [ $# -gt 0 ]; do
    case $1 in
    --vendor) VENDOR_FILE=$(realpath "${2:?which file}") && shift 2 ;;
    --sha256) VENDOR_SUM=${2:?which sum} && shift 2 ;;
    --accept-license) LICENSE_ACCEPTED=yes && shift ;;
    --only) ONLY=${2:?which step} && shift 2 ;;
    *) usage ;;
    esac
done

. image/meta
. "board/$BOARD/meta"
. image/steps/lib.sh
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/image
WORK=$CARGO_TARGET_DIR/image/$BOARD
OUT=$REPO/target/image
NAME=$PRODUCT-$BOARD-$VERSION
SOURCE_DATE_EPOCH=$(date -u -d "$(echo "$SNAPSHOT" | sed 's/^\(....\)\(..\)\(..\)T\(..\)\(..\)\(..\)Z$/\1-\2-\3 \4:\5:\6/')" +%s)
LC_ALL=C.UTF-8
TZ=UTC
set +a
umask 022

need_image
mkdir -p "$CACHE" "$WORK" "$OUT"
# Files of an image belong to many: who is not root works where these may be given. mmdebstrap makes such a place for itself.
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root='unshare --map-root-user --map-auto'
    # shellcheck disable=SC2086 # Words.
    $as_root true || { say "Please run this as root, or let $(id -un) have subordinate ids (/etc/subuid, /etc/subgid) and user namespaces."; exit 1; }
fi
total=$(find image/steps -name '[0-9]*' | wc -l)
number=0
for step in image/steps/[0-9]*; do
    number=$((number + 1))
    [ -z "$ONLY" ] || [ "${step##*/}" = "$ONLY" ] || continue
    say "$number/$total $(sed -n '2s/^# //p' "$step")"
    started=$(date +%s)
    case $step in
    */10-*) "$step" ;;
    # shellcheck disable=SC2086 # Words.
    *) $as_root "$step" ;;
    esac
    say "      $(($(date +%s) - started)) s"
done
[ -n "$ONLY" ] || ls -l "$OUT/$NAME"* >&2
printf '%s\n' "$OUT/$NAME.img.zst"
