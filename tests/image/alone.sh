#!/bin/sh
# Starts two copies of the image one after the other with the cable pulled from the beginning, and looks at what they left on their
# disks: both must come up without waiting for a network, and have no id, key or password in common. Without a network their consoles say
# when they are ready. `alone.sh [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. image/meta

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
has mcopy || install_packages mtools
has sgdisk || install_packages gdisk
SCRATCH=$(mktemp -d)
PORT_BASE=${KAFCLAW_TEST_PORTS:-21010}
machine=
stop() {
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    rm -rf "$SCRATCH"
}
trap stop EXIT
trap 'exit 130' INT TERM

# The file $3 of the partition $2 of the disk $1.
file_on() {
    start=$(sgdisk -i "$2" "$1" | sed -n 's/^First sector: \([0-9]*\).*/\1/p')
    debugfs -R "cat $3" "$1?offset=$((start * 512))" 2>/dev/null
}

for copy in 1 2; do
    new_disk "$image" "$SCRATCH/disk"
    start_machine "$SCRATCH/disk" uefi -monitor unix:"$SCRATCH/monitor",server=on,wait=off
    # From the first moment.
    wait_until 10 test -S "$SCRATCH/monitor" >/dev/null
    python3 - "$SCRATCH/monitor" 'set_link net off' <<'END'
import socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.connect(sys.argv[1])
monitor.recv(4096)
monitor.sendall(sys.argv[2].encode() + b"\n")
monitor.recv(4096)
END
    took=$(wait_until 600 grep -aq 'KafClaw is ready' "$SCRATCH/console") || { tail -n 40 "$SCRATCH/console" >&2; exit 1; }
    say "ok   copy $copy is ready $took s after power on, without a network"
    # As if the plug were pulled; what was made at the first start must have been kept.
    kill "$machine"
    wait "$machine" 2>/dev/null || true
    machine=
    {
        file_on "$SCRATCH/disk" 4 /machine-id
        file_on "$SCRATCH/disk" 4 /ssh/ssh_host_ed25519_key.pub | cut -d ' ' -f 2
        file_on "$SCRATCH/disk" 5 /lib/kafclaw/broker | cut -d : -f 2
        file_on "$SCRATCH/disk" 5 /lib/kafclaw/.kafclaw/gateway.token
        echo
        file_on "$SCRATCH/disk" 5 /lib/kafclaw/.kafclaw/owner.json | sed -n 's/.*"\(code\|epoch\)": *"\(.*\)".*/\2/p'
    } | grep . >"$SCRATCH/own.$copy"
    [ "$(wc -l <"$SCRATCH/own.$copy")" -ge 6 ] || { say "too little was found on the disk:"; cut -c 1-8 "$SCRATCH/own.$copy" >&2; exit 1; }
done
common=$(sort "$SCRATCH/own.1" "$SCRATCH/own.2" | uniq -d)
[ -z "$common" ] || { say "FAIL both copies have: $common"; exit 1; }
say "ok   two copies have none of $(wc -l <"$SCRATCH/own.1") ids, keys and passwords in common"
