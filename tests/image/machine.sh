#!/bin/sh
# An ARM machine in software that boots a copy of an image, for the tests beside this.
# Read with `.`, of no use alone.
set -eu

# What tests leave for scripts/bench.sh: a line of JSON for each figure, in a file for each test.
FIGURES=${KAFCLAW_FIGURES:-$PWD/target/image/figures}
# Processes that end with the test, besides the machine.
others=

# Begins the test $1: a folder of its own, ports from PORT_BASE on, nothing left behind however it ends. What the machine has last said on
# its console and in its journal is told when the test fails.
begin() {
    TEST=$1
    SCRATCH=$(mktemp -d)
    PORT_BASE=${KAFCLAW_TEST_PORTS:-$(free_ports "$2")}
    machine=
    mkdir -p "$FIGURES"
    : >"$SCRATCH/figures"
    trap finish EXIT
    trap 'exit 130' INT TERM
}

# The first of ten ports in a row that nobody has, $1 or later by hundreds.
free_ports() {
    python3 - "$1" <<'END'
import socket, sys

def is_free(port):
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False

print(next(base for base in range(int(sys.argv[1]), 32000, 100) if all(map(is_free, range(base, base + 10)))))
END
}

finish() {
    code=$?
    trap - EXIT
    if [ $code -ne 0 ] && [ -n "$machine" ] && [ -e "$SCRATCH/key" ]; then
        say "The last lines of the journal:"
        inside 'journalctl --no-pager --lines 40' >&2 || true
    fi
    for process in $others $machine; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    if [ $code -eq 0 ]; then
        mv "$SCRATCH/figures" "$FIGURES/$TEST.jsonl"
    elif [ -e "$SCRATCH/console" ]; then
        say "The last lines of the console:"
        tail -n 60 "$SCRATCH/console" >&2
    fi
    rm -rf "$SCRATCH"
    exit $code
}

fail() {
    say "FAIL $*"
    exit 1
}

pass() {
    say "ok   $*"
}

# Notes the figure $1 with the value $2 and, where there is one, the goal $3 that it should not be above.
record() {
    if [ -n "${3:-}" ]; then
        goal=$(awk -v value="$2" -v goal="$3" 'BEGIN { printf ", \"at_most\": %s, \"met\": %s", goal, value <= goal ? "true" : "false" }')
    else
        goal=
    fi
    printf '{"figure": "image_%s", "value": %s%s}\n' "$1" "$2" "$goal" | tee -a "$SCRATCH/figures" >&2
}

# Makes the disk $2 out of the compressed image $1: as large as a card, and with a kafclaw.json as its owner would put there, for
# these tests to get in by ssh; $3 is more for that file, with a comma behind.
new_disk() {
    zstd -q -d -f "$1" -o "$2" --sparse
    truncate -s 6G "$2"
    [ -e "$SCRATCH/key" ] || ssh-keygen -q -t ed25519 -N '' -C tests -f "$SCRATCH/key"
    cat >"$SCRATCH/kafclaw.json" <<JSON
{
    ${3:-}
    "ssh_key": "$(cat "$SCRATCH/key.pub")",
    "wifi": {"ssid": "Café \\"am\\" Eck", "password": "not \\"secret\\" at all", "country": "DE"},
    "settings": {"assistant.name": "Hal"}
}
JSON
    mcopy -i "$2@@1M" "$SCRATCH/kafclaw.json" ::/kafclaw.json
}

# Starts a machine with the disk $1 (on the bus that DISK_DEVICE says) and the firmware $2 (uefi or u-boot); the other arguments are qemu's. Its process is $machine, its
# console $SCRATCH/console; ports of it are at PORT_BASE and the next ones here: ssh, API, web page, broker.
start_machine() {
    disk=$1
    firmware=$2
    shift 2
    case $firmware in
    uefi) bios=/usr/share/qemu-efi-aarch64/QEMU_EFI.fd ;;
    u-boot) bios=/usr/lib/u-boot/qemu_arm64/u-boot.bin ;;
    esac
    forward=
    offset=0
    for port in 22 18790 18791 1883; do
        forward=$forward,hostfwd=tcp:127.0.0.1:$((PORT_BASE + offset))-:$port
        offset=$((offset + 1))
    done
    rm -f "$SCRATCH/monitor"
    # It ends with this test even when nobody is left to end it.
    # shellcheck disable=SC2086 # Words.
    setpriv --pdeathsig KILL qemu-system-aarch64 -M virt -cpu cortex-a57 -accel tcg,thread=multi -smp 2 -m 1024 -bios "$bios" -display none \
        -drive if=none,id=disk,format=raw,cache=writeback,file="$disk" -device ${DISK_DEVICE:-virtio-blk-pci},drive=disk,bootindex=0 \
        -netdev "user,id=net$forward" -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
        -device i6300esb -action watchdog=reset -serial file:"$SCRATCH/console" \
        -monitor unix:"$SCRATCH/monitor",server=on,wait=off "$@" &
    machine=$!
    machine_began=$(now)
}

# Says the line $1 to QEMU, such as `set_link net off`.
tell_machine() {
    wait_until 10 test -S "$SCRATCH/monitor" >/dev/null
    python3 - "$SCRATCH/monitor" "$1" <<'PYTHON'
import socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.connect(sys.argv[1])
heard = b""
for line in (None, sys.argv[2]):
    if line:
        heard = b""
        monitor.sendall(line.encode() + b"\n")
    while not heard.endswith(b"(qemu) "):
        heard += monitor.recv(4096)
if b"Error" in heard or b"not found" in heard:
    sys.exit(heard.decode())
PYTHON
}

# Ends the machine as if its plug were pulled.
pull_plug() {
    kill -KILL "$machine"
    wait "$machine" 2>/dev/null || true
    machine=
}

# A command inside.
inside() {
    ssh -q -p "$PORT_BASE" -i "$SCRATCH/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=20 -o ServerAliveInterval=20 root@127.0.0.1 "$@"
}

# The program inside, as the user whom it runs as.
kafclaw_inside() {
    inside "cd / && setpriv --reuid kafclaw --regid kafclaw --init-groups env HOME=/var/lib/kafclaw KAFCLAW_HOME=/var/lib/kafclaw kafclaw $*"
}

# The dashboard's page, from outside.
dashboard_answers() {
    curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$((PORT_BASE + 2))/"
}

# Lets `ask` be curl with the token that the machine has made for itself.
take_token() {
    token=$(inside 'KAFCLAW_HOME=/var/lib/kafclaw kafclaw token')
    printf 'header = "Authorization: Bearer %s"\n' "$token" >"$SCRATCH/curl"
}

ask() {
    curl --silent --show-error --fail --max-time 60 --config "$SCRATCH/curl" "$@"
}

# Sums of what must be this machine's own: its id, the key of its ssh, passwords of its broker, the token of programs.
own_secrets() {
    inside 'cat /etc/machine-id
        cut -d " " -f 2 /persist/ssh/ssh_host_ed25519_key.pub
        cut -d : -f 2 /var/lib/kafclaw/broker
        cat /var/lib/kafclaw/.kafclaw/gateway.token && echo' |
        grep . | while read -r secret; do printf '%s' "$secret" | sha256sum | cut -c 1-16; done
}

runs_from() {
    inside "grep -q rauc.slot=$1 /proc/cmdline"
}

# Which start of the system this is; the same only as long as it runs.
boot_id() {
    inside 'cat /proc/sys/kernel/random/boot_id'
}

# Whether it has been started anew, from slot $1, since $old_id was asked for.
has_started_from() {
    new_id=$(boot_id) && [ "$new_id" != "$old_id" ] && runs_from "$1"
}

has_proved() {
    inside "grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx $1_TRY=0"
}

# Seconds with parts.
now() {
    date +%s.%3N
}

# How long ago $1 was, by `now`.
since() {
    awk -v began="$1" -v now="$(now)" 'BEGIN { printf "%.1f", now - began }'
}

# Waits up to $1 seconds until the rest succeeds; tells how long it took.
wait_until() {
    limit=$1
    shift
    waits_from=$(now)
    until "$@" >/dev/null 2>&1; do
        if awk -v took="$(since "$waits_from")" -v limit="$limit" 'BEGIN { exit took < limit }'; then
            say "not within $limit s: $*"
            return 1
        fi
        if ! kill -0 "$machine" 2>/dev/null; then
            say "the machine has ended"
            return 1
        fi
        sleep 0.3
    done
    since "$waits_from"
}
