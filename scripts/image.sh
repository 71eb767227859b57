#!/bin/sh
# Builds the disk image of a board, for who flashes one: `image.sh <board>`, out of image/, board/<board>/ and what scripts/build.sh made,
# into target/image/. Boards whose vendor must be asked need `--vendor FILE`, the archive that the vendor's own page gives out, `--sha256 SUM` as it stands
# there, and, once its licence was read, `--accept-license`. `--only STEP` does one step again, `--fresh` asks the mirrors for packages again. The same inputs make the same image; what takes long is kept
# in the user's cache by the hash of its inputs. Runs as root, or as anybody who has subordinate ids and user namespaces.
# What else it goes by, of the environment:
#   KAFCLAW_BINARY       the program, instead of target/dist/kafclaw
#   KAFCLAW_SNAPSHOT     mirror that keeps days, with @ where the day belongs, as in https://snapshot.debian.org/archive/@ : packages are
#                        then those of the day in image/meta; without it they are the newest
#   KAFCLAW_MIRROR       mirror of Debian instead of those of this machine, and KAFCLAW_SECURITY_MIRROR for security fixes
#   KAFCLAW_UPDATE_CA    certificate that devices ask of updates, with KAFCLAW_UPDATE_CERT and KAFCLAW_UPDATE_KEY to sign with; without
#                        them this machine makes its own, in ~/.local/share/kafclaw/update-keys
#   KAFCLAW_RELEASED_AT  when the update is handed out, such as 2026-11-21T12:00:00Z, where that is not now: waves count from it
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

usage() {
    sed -n '2,/^set/s/^# //p' "$0" >&2
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
FRESH=
while [ $# -gt 0 ]; do
    case $1 in
    --vendor) VENDOR_FILE=$(realpath "${2:?which file}") && shift 2 ;;
    --sha256) VENDOR_SUM=${2:?which sum} && shift 2 ;;
    --accept-license) LICENSE_ACCEPTED=yes && shift ;;
    --fresh) FRESH=yes && shift ;;
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

# Step 30 wants it, and says so minutes later.
program=${KAFCLAW_BINARY:-target/dist/kafclaw}
case $ONLY in
'' | 30-*) [ -f "$program" ] || { say "$program is not there. Please run scripts/build.sh first."; exit 1; } ;;
esac
need_image
mkdir -p "$CACHE" "$WORK" "$OUT"
# Files of an image belong to many: who is not root works where these may be given. mmdebstrap makes such a place for itself.
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root='unshare --map-root-user --map-auto'
    # shellcheck disable=SC2086 # Words.
    $as_root true || { say "Please run this as root, or let $(id -un) have subordinate ids (/etc/subuid, /etc/subgid) and user namespaces."; exit 1; }
fi
case ${KAFCLAW_SNAPSHOT:-} in
*@*) say "Packages are those of $SNAPSHOT." ;;
*) say "Packages are the newest that the mirrors had when they were asked: KAFCLAW_SNAPSHOT=https://snapshot.debian.org/archive/@ pins them to $SNAPSHOT." ;;
esac
if [ -n "$FRESH" ]; then
    rm -rf "$CACHE"/base-*.tar "$CACHE"/kernel-* "$CACHE/packages" "$CACHE/apt/updated"
fi
# Of what an earlier recipe took.
[ -n "$ONLY" ] || rm -rf "$WORK/parts"
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
