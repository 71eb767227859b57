#!/bin/sh
# An ARM machine in software that boots a copy of an image, for the tests beside this.
# Read with `.`, of no use alone.
set -eu

# Makes the disk $2 out of the compressed image $1: as large as a card, and with a kafclaw.json as its owner would put there, for
# these tests to get in by ssh.
new_disk() {
    zstd -q -d -f "$1" -o "$2" --sparse
    truncate -s 6G "$2"
    [ -e "$SCRATCH/key" ] || ssh-keygen -q -t ed25519 -N '' -C tests -f "$SCRATCH/key"
    cat >"$SCRATCH/kafclaw.json" <<END
{
    "ssh_key": "$(cat "$SCRATCH/key.pub")",
    "wifi": {"ssid": "Café \\"am\\" Eck", "password": "not \\"secret\\" at all", "country": "DE"},
    "settings": {"assistant.name": "Hal"}
}
END
    mcopy -i "$2@@1M" "$SCRATCH/kafclaw.json" ::/kafclaw.json
}

# Starts a machine with the disk $1 and the firmware $2 (uefi or u-boot); the other arguments are qemu's. Its process is $machine, its
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
    qemu-system-aarch64 -M virt -cpu cortex-a57 -accel tcg,thread=multi -smp 2 -m 1024 -bios "$bios" -display none \
        -drive if=none,id=disk,format=raw,cache=writeback,file="$disk" -device virtio-blk-pci,drive=disk,bootindex=0 \
        -netdev "user,id=net$forward" -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
        -device i6300esb -action watchdog=reset -serial file:"$SCRATCH/console" -monitor none "$@" &
    machine=$!
}

# A command inside.
inside() {
    ssh -q -p "$PORT_BASE" -i "$SCRATCH/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=20 root@127.0.0.1 "$@"
}

# Waits up to $1 seconds until the rest succeeds; tells how long it took.
wait_until() {
    limit=$1
    shift
    began=$(date +%s)
    until "$@" >/dev/null 2>&1; do
        if [ $(($(date +%s) - began)) -ge "$limit" ]; then
            say "not within $limit s: $*"
            return 1
        fi
        if ! kill -0 "$machine" 2>/dev/null; then
            say "the machine has ended"
            return 1
        fi
        sleep 1
    done
    echo $(($(date +%s) - began))
}
