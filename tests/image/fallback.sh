#!/bin/sh
# Takes a running image through updates that are no good, for who changes slots, counters or what decides that a slot is good: one whose kernel panics,
# one whose program ends as soon as it is started, and one whose program runs while the house is not well. Each time the machine must be back in the old
# slot by itself, with what the home has told, and must say why. Prints how long that takes. `fallback.sh [IMAGE BUNDLE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. tests/image/recipe.sh
. tests/image/bundles.sh

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
bundle=${2:-target/image/$PRODUCT-qemu-aarch64-$VERSION.raucb}
need_machine
need_image
has curl || install_packages curl
has jq || install_packages jq
begin fallback 21030
api=http://127.0.0.1:$((PORT_BASE + 1))

# Sends the bundle $1 and installs it.
install_bundle() {
    sent_from=$(now)
    inside 'cat >/var/lib/update.raucb && sync' <"$1" || fail "$1 cannot be sent"
    sent_s=$(since "$sent_from")
    installed_from=$(now)
    update install /var/lib/update.raucb >"$SCRATCH/told" 2>&1 || fail "$1 is not installed: $(cat "$SCRATCH/told")"
    installed_s=$(since "$installed_from")
    inside 'rm /var/lib/update.raucb'
}

is_back_in() {
    has_started_from "$1" && [ "$(curl --silent --max-time 5 "$api/readyz" | jq -r .status)" = ready ]
}

counters() {
    inside 'grub-editenv /efi/EFI/BOOT/grubenv list' | tr '\n' ' '
}

# Restarts into the bundle $1, which is no good; it must come back to A by itself within $2 seconds and give the reason $3.
must_come_back() {
    old_id=$(boot_id)
    update restart >&2 || true
    back_s=$(wait_until "$2" is_back_in A) || fail "$1: the machine does not come back"
    case $(counters) in
    *'B_OK=1 B_TRY=3'* | *'B_OK=0'*) ;;
    *) fail "$1: B was not tried: $(counters)" ;;
    esac
    kafclaw_inside memory list | grep -q stopcock || fail "$1: the memory is gone"
    kafclaw_inside doctor --json >"$SCRATCH/doctor" || true
    jq -e '[.findings[] | select(.verdict == "FAIL" and .check != "slots" and .check != "update")] | length == 0' "$SCRATCH/doctor" >/dev/null ||
        fail "doctor after $1: $(jq -c '.findings[] | select(.verdict == "FAIL")' "$SCRATCH/doctor")"
    wait_until 300 is_settled >/dev/null || fail "$1: A does not prove itself again"
    is_in rolled_back || fail "$1: the phase is $(phase)"
    reason=$(inside 'kafclaw update status --json | jq -r .reason')
    case $reason in
    *"$3"*) ;;
    *) fail "$1: the reason that is told is '$reason', not '$3'" ;;
    esac
    [ "$(running_version)" = "$VERSION" ] || fail "$1: version $(running_version) runs, not $VERSION"
    pass "$1: back in A after $back_s s, with what the home has told; the reason: $reason"
}

take_root "$bundle"
# Without its first program the kernel panics.
(cd "$SCRATCH" && : >nothing && echo nothing | cpio --quiet -o -H newc | gzip >initrd)
changed_bundle panic "$(version_after 1)" <<END
rm /boot/initrd
write $SCRATCH/initrd /boot/initrd
END
printf '#!/bin/sh\nexit 1\n' >"$SCRATCH/program"
# Patience is for real machines.
printf '[Service]\nEnvironment=KAFCLAW_CONFIRM_PATIENCE_S=60\n' >"$SCRATCH/patience"
changed_bundle gateway "$(version_after 2)" <<END
rm /usr/bin/kafclaw
write $SCRATCH/program /usr/bin/kafclaw
set_inode_field /usr/bin/kafclaw mode 0100755
mkdir /etc/systemd/system/kafclaw-confirm.service.d
write $SCRATCH/patience /etc/systemd/system/kafclaw-confirm.service.d/patience.conf
END
# The program runs and answers, and no device can be reached.
changed_bundle broker "$(version_after 3)" <<END
rm /usr/sbin/mosquitto
mkdir /etc/systemd/system/kafclaw-confirm.service.d
write $SCRATCH/patience /etc/systemd/system/kafclaw-confirm.service.d/patience.conf
END
rm -r "$SCRATCH/good"

new_disk "$image" "$SCRATCH/disk"
start_machine "$SCRATCH/disk" uefi
wait_until 600 dashboard_answers >/dev/null || fail "it does not come up"
wait_until 120 inside true >/dev/null || fail "no way in"
kafclaw_inside memory remember '"The stopcock is behind the washing machine."' || fail "nothing is remembered"
wait_until 300 is_settled >/dev/null || fail "A does not prove itself"

install_bundle "$SCRATCH/panic.raucb"
record update_send_s "$sent_s"
record update_install_s "$installed_s"
must_come_back "a kernel that panics" 900 'did not start'
grep -aq 'Kernel panic' "$SCRATCH/console" || fail "no kernel has panicked"
record fallback_panic_s "$back_s"
install_bundle "$SCRATCH/gateway.raucb"
must_come_back "a program that ends" 1800 'did not start'
record fallback_gateway_s "$back_s"
install_bundle "$SCRATCH/broker.raucb"
must_come_back "a house without its broker" 900 'is not connected'
record fallback_health_s "$back_s"
