#!/bin/sh
# Pulls the plug of a running image at random points, again and again: while people talk to it, and while an update is installed. `power.sh [CUTS
# [IMAGE BUNDLE]]`; KAFCLAW_TEST_SEED repeats the points of an earlier run. The disk behind the machine forgets what was not flushed, as cards
# and SSDs do (store.py). After each cut the disk is looked at from outside (kept.py); then the machine must come up by itself from a good slot,
# with everything that was acknowledged before, and an update that was cut comes to an end by itself. Not simulated: a disk that lies about a flush, tears a sector, or loses old ones.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. tests/image/recipe.sh
. tests/image/bundles.sh

cuts=${1:-10}
image=${2:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
bundle=${3:-target/image/$PRODUCT-qemu-aarch64-$VERSION.raucb}
need_machine
need_broker
has curl || install_packages curl
has jq || install_packages jq
has mcopy || install_packages mtools
has sgdisk || install_packages gdisk
begin power 21020
# As on boards that start from a USB disk, which must not be taken for a stick: the update would find its slot in use.
DISK_DEVICE='qemu-xhci -device usb-storage'
seed=${KAFCLAW_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
say "KAFCLAW_TEST_SEED=$seed"

# A number from 0 to 1 that only the seed and the words $* decide.
chance() {
    printf '%s' "$seed $*" | sha256sum | cut -c 1-8 | { read -r digits; awk -v number="$((0x$digits))" 'BEGIN { print number / 4294967296 }'; }
}

between() {
    awk -v low="$1" -v high="$2" -v chance="$(chance "$3")" 'BEGIN { printf "%.1f", low + (high - low) * chance }'
}

switch_on() {
    rm -f "$SCRATCH/store.socket"
    : >"$SCRATCH/lost"
    setpriv --pdeathsig KILL tests/image/store.py "$SCRATCH/disk" "$SCRATCH/store.socket" "$seed $1" >"$SCRATCH/lost" &
    store=$!
    others="$others $store"
    waits=0
    until [ -S "$SCRATCH/store.socket" ]; do
        sleep 0.1
        waits=$((waits + 1))
        [ $waits -lt 100 ] || fail "the disk is not served"
    done
    start_machine "nbd+unix:///?socket=$SCRATCH/store.socket" uefi
}

cut_power() {
    kill "$store"
    wait "$store" || fail "the disk has ended by itself"
    wait "$machine" 2>/dev/null || true
    machine=
    others=
    # Who talked to it notices.
    for process in $talking $installing; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    talking=
    installing=
}

is_up() {
    [ "$(curl --silent --max-time 5 "http://127.0.0.1:$((PORT_BASE + 1))/readyz" | jq -r .status)" = ready ]
}

talk() {
    echo "$token" | setpriv --pdeathsig TERM tests/image/load.py "$PORT_BASE" "$password" "$SCRATCH/notes" &
    talking=$!
}

noted() {
    wc -l <"$SCRATCH/notes"
}

has_more() {
    [ "$(noted)" -gt "$1" ]
}

# Until $1 seconds have passed or what was started has ended by itself.
wait_for_point() {
    point_from=$(now)
    until awk -v took="$(since "$point_from")" -v point="$1" 'BEGIN { exit took < point }'; do
        kill -0 "$machine" 2>/dev/null || fail "the machine has ended by itself"
        [ -z "$installing" ] || kill -0 "$installing" 2>/dev/null || break
        sleep 0.1
    done
}

talking=
installing=
: >"$SCRATCH/notes"
new_disk "$image" "$SCRATCH/disk"
switch_on first
wait_until 600 is_up >/dev/null || fail "it does not come up"
wait_until 120 inside true >/dev/null || fail "no way in"
take_token
password=$(inside 'sed -n s/^people://p /var/lib/kafclaw/broker')
[ "$cuts" -lt 2 ] || inside 'cat >/var/lib/update.raucb && sync' <"$bundle"

number=0
while [ $number -lt "$cuts" ]; do
    number=$((number + 1))
    before=$(noted)
    talk
    # Somebody has been answered since the machine came up.
    wait_until 60 has_more "$before" >/dev/null || fail "nobody is answered"
    if [ $((number % 2)) -eq 1 ]; then
        doing="people talk"
        point=$(between 0 20 "point $number")
    else
        doing="an update is installed"
        wait_until 900 is_settled >/dev/null || fail "the update before is in phase $(phase)"
        # To the end and beyond, as long as it takes here.
        point=$(between 0 "${install_s:-120}" "point $number")
        update install /var/lib/update.raucb >"$SCRATCH/install" 2>&1 &
        installing=$!
    fi
    wait_for_point "$point"
    installed=
    [ -z "$installing" ] || kill -0 "$installing" 2>/dev/null || { wait "$installing" && installed=", which was over" || fail "the update: $(cat "$SCRATCH/install")"; }
    cut_power
    rm -rf "$SCRATCH/copy"
    mkdir "$SCRATCH/copy"
    found=$(tests/image/kept.py "$SCRATCH/disk" "$SCRATCH/copy" "$SCRATCH/notes") || fail "cut $number of seed $seed, while $doing"
    rm -rf "$SCRATCH/copy"
    say "ok   cut $number, $point s after $doing$installed: $(cat "$SCRATCH/lost") $found"

    switch_on "$number"
    took=$(wait_until 900 is_up) || fail "it does not come up after cut $number of seed $seed, while $doing"
    wait_until 120 inside true >/dev/null || fail "no way in after cut $number"
    slot=$(inside 'sed "s/.*rauc.slot=\(.\).*/\1/" /proc/cmdline')
    kafclaw_inside doctor --json >"$SCRATCH/doctor" || true
    # The slot that an update did not finish is told, and rightly.
    jq -e '[.findings[] | select(.verdict == "FAIL" and .check != "slots")] | length == 0' "$SCRATCH/doctor" >/dev/null ||
        fail "doctor after cut $number: $(jq -c '.findings[] | select(.verdict == "FAIL")' "$SCRATCH/doctor")"
    inside '! grep /run/media /proc/mounts' >"$SCRATCH/sticks" || fail "its own disk is taken for a stick: $(cat "$SCRATCH/sticks")"
    inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -q "^ORDER="' || fail "the counters are lost after cut $number"
    # What was answered is answered in the same words to who did not hear it.
    key=$(jq -rs '[.[] | select(.way == "http")] | last | .key' "$SCRATCH/notes")
    said=$(jq -rs '[.[] | select(.way == "http")] | last | .reply' "$SCRATCH/notes")
    asked=$(jq -rs '[.[] | select(.way == "http")] | last | .asked' "$SCRATCH/notes")
    again=$(jq -cn --arg message "$asked" '{message: $message, session: "local:other"}' |
        ask --header "Idempotency-Key: $key" --header "Content-Type: application/json" --data @- "http://127.0.0.1:$((PORT_BASE + 1))/chat" | jq -r .reply)
    [ "$again" = "$said" ] || fail "after cut $number the answer is another one: $again, not $said"
    say "ok   it is back from slot $slot after $took s, and gives the same answer again"
    if [ $((number % 2)) -eq 0 ]; then
        went_on=$(wait_until 900 is_settled) || fail "the update of cut $number is in phase $(phase)"
        # One that was cut before it was even asked for has left nothing to go on with.
        if [ -s "$SCRATCH/install" ]; then
            is_in awaiting_restart || is_in confirmed || fail "the update of cut $number ended badly: $(inside kafclaw update status)"
        fi
        say "ok   the update has come to an end $went_on s later: $(phase)"
    fi
    [ "${most:-0}" = "$(printf '%s\n%s\n' "${most:-0}" "$took" | sort -g | tail -n 1)" ] || most=$took
done
record power_cuts "$cuts"
record power_acknowledged "$(noted)"
record power_lost 0
record power_back_most_s "$most"
