#!/bin/sh
# Boots the image of qemu-aarch64 and looks at it from outside, as the people of a house would: web page, sentence, a lamp on the image's own
# broker, names, open ports; then from inside. Prints the figures. `boot.sh [uefi|u-boot] [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/machine.sh
. image/meta

firmware=${1:-uefi}
image=${2:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
need_broker
has curl || install_packages curl
{ has mcopy && has mkfs.vfat; } || install_packages mtools dosfstools
SCRATCH=$(mktemp -d)
PORT_BASE=${KAFCLAW_TEST_PORTS:-21000}
machine=
devices=
stop() {
    code=$?
    [ -z "$devices" ] || kill "$devices" 2>/dev/null || true
    if [ -n "$machine" ]; then
        kill "$machine" 2>/dev/null || true
        wait "$machine" 2>/dev/null || true
    fi
    if [ $code -ne 0 ] && [ -e "$SCRATCH/console" ]; then
        tail -n 60 "$SCRATCH/console" >&2
    fi
    rm -rf "$SCRATCH"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
    say "FAIL $*"
    exit 1
}
pass() {
    say "ok   $*"
}

web=http://127.0.0.1:$((PORT_BASE + 2))
api=http://127.0.0.1:$((PORT_BASE + 1))
new_disk "$image" "$SCRATCH/disk"
# A stick is in it too, with the rest of what the owner wants.
echo '{"timezone": "Europe/Berlin"}' >"$SCRATCH/stick.json"
truncate -s 34M "$SCRATCH/stick"
mkfs.vfat -F 32 "$SCRATCH/stick" >/dev/null
mcopy -i "$SCRATCH/stick" "$SCRATCH/stick.json" ::/kafclaw.json
start_machine "$SCRATCH/disk" "$firmware" -device qemu-xhci -drive if=none,id=stick,format=raw,file="$SCRATCH/stick" \
    -device usb-storage,drive=stick,removable=on
answered=$(wait_until 600 curl --silent --fail --max-time 5 "$web/") || fail "the dashboard does not answer"
pass "the dashboard answers ($firmware, $answered s after power on)"
wait_until 120 inside true >/dev/null || fail "no way in with the provisioned key"

# What the owner's file asked for.
takes_zone() {
    [ "$(inside 'readlink /persist/localtime')" = /usr/share/zoneinfo/Europe/Berlin ]
}
wait_until 60 takes_zone >/dev/null || fail "the stick was not read: $(inside 'systemctl list-units --all "kafclaw-stick*"; journalctl -u "kafclaw-stick*" --no-pager')"
[ "$(inside 'KAFCLAW_HOME=/var/lib/kafclaw kafclaw config get assistant.name')" = Hal ] || fail "the settings were not taken"
inside 'grep -q "ssid=436166c3a920" /persist/wifi.conf && grep -qF "psk=\"not \"secret\" at all\"" /persist/wifi.conf' || fail "Wi-Fi was not taken"
inside 'test ! -e /efi/kafclaw.json && grep -q Wi-Fi /efi/kafclaw.txt' || fail "the file with the password still lies there"
pass "kafclaw.json was taken: key, Wi-Fi and settings from the boot partition, time zone from a stick"

# A sentence, with the token that the machine made for itself.
token=$(inside 'KAFCLAW_HOME=/var/lib/kafclaw kafclaw token')
printf 'header = "Authorization: Bearer %s"\n' "$token" >"$SCRATCH/curl"
ask() {
    curl --silent --show-error --fail --max-time 60 --config "$SCRATCH/curl" "$@"
}
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 20 "$web/api/v1/devices")" = 401 ] || fail "the API is open to anybody"
pass "the API wants a token"
ask --get --request POST --data-urlencode 'message=set a timer for ten minutes' "$api/chat" >"$SCRATCH/answer" || fail "no answer to a sentence"
grep -qi timer "$SCRATCH/answer" || fail "not understood: $(cat "$SCRATCH/answer")"
pass "a sentence is understood: $(cat "$SCRATCH/answer")"

# A lamp as Zigbee2MQTT would show it, with the password that the owner gives to devices.
password=$(inside 'sed -n s/^devices://p /var/lib/kafclaw/broker')
broker="-h 127.0.0.1 -p $((PORT_BASE + 3)) -u devices -P $password"
mosquitto_pub -h 127.0.0.1 -p $((PORT_BASE + 3)) -t x -m x 2>/dev/null && fail "the broker takes anybody"
pass "the broker wants a password"
: >"$SCRATCH/heard"
# shellcheck disable=SC2086 # Words.
mosquitto_sub $broker -t zigbee2mqtt/kitchen_lamp/set >"$SCRATCH/heard" &
devices=$!
# shellcheck disable=SC2086 # Words.
{
    mosquitto_pub $broker -r -t zigbee2mqtt/bridge/state -m '{"state":"online"}'
    mosquitto_pub $broker -r -t zigbee2mqtt/kitchen_lamp -m '{"state":"OFF","brightness":254}'
    mosquitto_pub $broker -r -t homeassistant/light/0x00158d/light/config -f tests/fixtures/discovery/zigbee2mqtt_light.json
}
knows_lamp() {
    ask "$web/api/v1/devices" | grep -qi 'kitchen'
}
wait_until 60 knows_lamp >/dev/null || fail "the lamp is not known"
ask --get --request POST --data-urlencode 'message=turn on the kitchen lamp' "$api/chat" >"$SCRATCH/answer" 2>&1 || true
wait_until 30 grep -q '"ON"' "$SCRATCH/heard" >/dev/null || fail "the lamp was not told: $(cat "$SCRATCH/answer")"
pass "a sentence switches a lamp through the image's own broker"

# From inside.
[ -z "$(inside 'systemctl --failed --no-legend --plain')" ] || fail "failed units: $(inside 'systemctl --failed --no-legend')"
pass "no unit has failed"
inside 'findmnt -no OPTIONS / | grep -q ^ro' || fail "the root can be written to"
inside 'findmnt -no SOURCE /var | grep -q /dev/vda5' || fail "/var is not on the data partition"
inside 'test "$(df --output=size -m /var | tail -n 1)" -gt 2000' || fail "data was not grown over the disk"
pass "the root is read only, data has the rest of the disk"
listening=$(inside "ss -Hltn | awk '{ print \$4 }' | grep -v -e '^127\.' -e '^\[::1\]' | sed 's/.*://' | sort -un | tr '\n' ' '")
for port in $listening; do
    case $port in
    22 | 1883 | 18790 | 18791) ;;
    *) fail "port $port is open" ;;
    esac
done
inside 'nft list chain inet kafclaw input | grep -q "policy drop"' || fail "no firewall"
pass "open are only: $listening"
[ "$(inside 'getent hosts kafclaw.local | wc -l')" -ge 1 ] || fail "kafclaw.local is not known"
pass "kafclaw.local resolves"
inside 'grep -qE "^[^:]+:[^!*:]" /etc/shadow' && fail "somebody has a password"
pass "nobody has a password"
inside 'journalctl -u kafclaw -o json | grep -q "\"ELAPSED_MS\"\|\"F_ELAPSED_MS\""' || fail "the journal has no fields"
inside 'test -d /var/log/journal/$(cat /etc/machine-id)' || fail "the journal is not kept"
pass "the journal is kept and has fields"
inside 'wdctl 2>/dev/null | grep -q i6300' || inside 'ls /dev/watchdog0' >/dev/null || fail "no watchdog"
pass "the hardware watchdog is watched"
inside 'swapon --show=NAME --noheadings | grep -q zram' || fail "no compressed memory"
pass "memory is compressed"
confirmed() {
    inside 'grub-editenv /efi/EFI/BOOT/grubenv list | grep -qx A_TRY=0'
}
wait_until 240 confirmed >/dev/null || fail "the slot was not marked good: $(inside 'grub-editenv /efi/EFI/BOOT/grubenv list; journalctl -u kafclaw-confirm -u rauc --no-pager | tail -n 20')"
pass "the slot has proved itself"

say
say "kernel to READY:        $(inside 'systemctl show -P ActiveEnterTimestampMonotonic kafclaw' | awk '{ printf "%.1f s", $1 / 1e6 }')"
say "$(inside systemd-analyze | head -n 1)"
say "used by the whole system: $(inside free -m | awk '/^Mem/ { print $2 - $7 " MiB of " $2 }')"
say "image:                  $(($(wc -c <"$image") / 1048576)) MiB compressed"
say "root:                   $(inside 'df -m --output=used / | tail -n 1') MiB"
