#!/bin/sh
# Starts a copy of the image with the cable pulled from before its first start, and looks at it through a witness inside (witness.sh): everything local
# must work, and it must be ready no later than a copy that has a network. Then the cable is put in, and the two copies must have no id, key or
# password in common. The other copy is the one of boot.sh, when that ran in the last hour; else it is started here. `alone.sh [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh
. tests/image/machine.sh

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
has mcopy || install_packages mtools
has sgdisk || install_packages gdisk
has jq || install_packages jq
begin alone 21010

# Lets the disk $1 start the witness as soon as the assistant is ready.
add_witness() {
    clients=$(unpacked mosquitto-clients)/usr/bin
    cat >"$SCRATCH/unit" <<UNIT
[Unit]
After=kafclaw.service
Requires=kafclaw.service
[Service]
ExecStart=/bin/sh /usr/lib/witness/witness
UNIT
    cat >"$SCRATCH/commands" <<COMMANDS
mkdir /usr/lib/witness
write tests/image/witness.sh /usr/lib/witness/witness
write tests/fixtures/discovery/zigbee2mqtt_light.json /usr/lib/witness/lamp.json
write $clients/mosquitto_pub /usr/lib/witness/mosquitto_pub
write $clients/mosquitto_sub /usr/lib/witness/mosquitto_sub
set_inode_field /usr/lib/witness/mosquitto_pub mode 0100755
set_inode_field /usr/lib/witness/mosquitto_sub mode 0100755
write $SCRATCH/unit /etc/systemd/system/witness.service
symlink /etc/systemd/system/multi-user.target.wants/witness.service ../witness.service
COMMANDS
    start=$(sgdisk -i 2 "$1" | sed -n 's/^First sector: \([0-9]*\).*/\1/p')
    debugfs -w -f "$SCRATCH/commands" "$1?offset=$((start * 512))" >"$SCRATCH/told" 2>&1
    ! grep -q 'File not found\|Could not' "$SCRATCH/told" || fail "the witness cannot be put in: $(cat "$SCRATCH/told")"
}

# Starts a new copy with its cable (on or off); $ready is when it was, after its kernel.
start_copy() {
    new_disk "$image" "$SCRATCH/disk"
    add_witness "$SCRATCH/disk"
    start_machine "$SCRATCH/disk" uefi
    # From the first moment.
    tell_machine "set_link net $1"
    wait_until 900 grep -aq 'witness: over' "$SCRATCH/console" >/dev/null || fail "the witness does not come to an end"
    grep -a '^witness: ok' "$SCRATCH/console" | tr -d '\r' | sed 's/^witness: ok/ok  /' >&2
    ! grep -a 'witness: WRONG' "$SCRATCH/console" >&2 || fail "the witness found something wrong, with the cable $1"
    ready=$(tr -d '\r' <"$SCRATCH/console" | sed -n 's/^witness: ready //p')
}

start_copy off
grep -aq '^witness: cable 0.* addresses 0' "$SCRATCH/console" || fail "there was a network: $(grep -a 'witness: cable' "$SCRATCH/console")"
alone_ready=$ready
wait_until 60 grep -aq 'http://kafclaw.local:18791/' "$SCRATCH/console" >/dev/null || fail "the console does not say the name"
grep -aq '(no network yet)' "$SCRATCH/console" || fail "the console knows an address without a network"
tell_machine 'set_link net on'
wait_until 120 grep -aq 'http://10.0.2.15:18791/' "$SCRATCH/console" >/dev/null || fail "the console does not say the address that comes later"
wait_until 120 inside true >/dev/null || fail "it is not found when the cable is put in"
pass "it is found when the cable is put in, and its console says where"
own_secrets >"$SCRATCH/own"
pull_plug

other=$FIGURES/boot-uefi
if [ -e "$other.own" ] && [ -n "$(find "$other.jsonl" -mmin -60 2>/dev/null)" ]; then
    cp "$other.own" "$SCRATCH/own.other"
    ready=$(jq -r 'select(.figure == "image_uefi_kernel_to_ready_s") | .value' "$other.jsonl")
else
    start_copy on
    wait_until 120 inside true >/dev/null || fail "no way in"
    own_secrets >"$SCRATCH/own.other"
fi
record ready_without_network_s "$alone_ready"
record ready_with_network_s "$ready"
# Who waits for a network waits for minutes; machines in software are now faster, now slower by themselves.
awk -v alone="$alone_ready" -v other="$ready" 'BEGIN { exit alone > other * 1.5 + 5 }' || fail "without a network it is slower: $alone_ready s, not $ready s"
pass "without a network it is ready $alone_ready s after its kernel started, with one $ready s"
[ "$(wc -l <"$SCRATCH/own")" -ge 5 ] || fail "too little was found that is its own"
common=$(sort "$SCRATCH/own" "$SCRATCH/own.other" | uniq -d)
[ -z "$common" ] || fail "both copies have: $common"
pass "two copies have none of $(wc -l <"$SCRATCH/own") ids, keys and passwords in common"
