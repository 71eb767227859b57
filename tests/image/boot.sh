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
need_browser
has curl || install_packages curl
has jq || install_packages jq
{ has mcopy && has mkfs.vfat; } || install_packages mtools dosfstools
has sgdisk || install_packages gdisk
begin "boot-$firmware" 21000

web=http://127.0.0.1:$((PORT_BASE + 2))
api=http://127.0.0.1:$((PORT_BASE + 1))
# It has a name of its own, as a house with several of them gives it.
new_disk "$image" "$SCRATCH/disk" '"hostname": "garage",'
# A stick is in it too, with the rest of what the owner wants.
echo '{"timezone": "Europe/Berlin"}' >"$SCRATCH/stick.json"
truncate -s 34M "$SCRATCH/stick"
mkfs.vfat -F 32 "$SCRATCH/stick" >/dev/null
mcopy -i "$SCRATCH/stick" "$SCRATCH/stick.json" ::/kafclaw.json
# One that comes when the first start is long over, and before anybody owns the house.
echo '{"settings": {"node.displayName": "The garage"}}' >"$SCRATCH/late.json"
truncate -s 34M "$SCRATCH/late"
mkfs.vfat -F 32 "$SCRATCH/late" >/dev/null
mcopy -i "$SCRATCH/late" "$SCRATCH/late.json" ::/kafclaw.json
# Another one for later, with something that is no update.
truncate -s 34M "$SCRATCH/other"
mkfs.vfat -F 32 "$SCRATCH/other" >/dev/null
head -c 100000 /dev/urandom >"$SCRATCH/noise"
mcopy -i "$SCRATCH/other" "$SCRATCH/noise" ::/noise.raucb
# And a stranger's, with partitions that are called as this machine's own, and a key.
truncate -s 200M "$SCRATCH/decoy"
sgdisk --new=1:1M:+64M --change-name=1:esp --new=2:65M:+64M --change-name=2:data "$SCRATCH/decoy" >/dev/null
mkfs.vfat -F 32 --offset 2048 "$SCRATCH/decoy" 65536 >/dev/null 2>&1
mkfs.ext4 -q -F -E offset=68157440 "$SCRATCH/decoy" 64M
ssh-keygen -q -t ed25519 -N '' -C stranger -f "$SCRATCH/stranger"
echo "{\"ssh_key\": \"$(cat "$SCRATCH/stranger.pub")\"}" >"$SCRATCH/decoy.json"
mcopy -i "$SCRATCH/decoy@@1M" "$SCRATCH/decoy.json" ::/kafclaw.json
# And a second cable, at whose other end is nobody yet.
near="-netdev socket,id=near,udp=127.0.0.1:$((PORT_BASE + 8)),localaddr=127.0.0.1:$((PORT_BASE + 9))"
# shellcheck disable=SC2086 # Words.
start_machine "$SCRATCH/disk" "$firmware" -device qemu-xhci -drive if=none,id=stick,format=raw,file="$SCRATCH/stick" \
    -drive if=none,id=late,format=raw,file="$SCRATCH/late" -drive if=none,id=other,format=raw,file="$SCRATCH/other" -drive if=none,id=decoy,format=raw,file="$SCRATCH/decoy" -device usb-storage,drive=stick,removable=on $near -device virtio-net-pci,netdev=near,romfile=
tell_machine 'set_link near off'
answered=$(wait_until 600 dashboard_answers) || fail "the dashboard does not answer"
answered_at=$(now)
pass "the dashboard answers ($firmware, $answered s after power on)"
wait_until 120 inside true >/dev/null || fail "no way in with the provisioned key"

unit_s() {
    inside "systemctl show -P $1 ${2:-}" | awk '{ printf "%.1f", $1 / 1e6 }'
}

# What the owner's file asked for.
takes_zone() {
    [ "$(inside 'readlink /persist/localtime')" = /usr/share/zoneinfo/Europe/Berlin ]
}
wait_until 60 takes_zone >/dev/null || fail "the stick was not read: $(inside 'systemctl list-units --all "kafclaw-stick*"; journalctl -u "kafclaw-stick*" --no-pager')"
[ "$(inside 'KAFCLAW_HOME=/var/lib/kafclaw kafclaw config get assistant.name')" = Hal ] || fail "the settings were not taken"
inside 'grep -q "ssid=436166c3a920" /persist/wifi.conf && grep -qF "psk=\"not \"secret\" at all\"" /persist/wifi.conf' || fail "Wi-Fi was not taken"
inside 'test ! -e /efi/kafclaw.json && grep -q Wi-Fi /efi/kafclaw.txt' || fail "the file with the password still lies there"
[ "$(inside 'cat /proc/sys/kernel/hostname')" = garage ] || fail "the name was not taken: $(inside 'cat /efi/kafclaw.txt')"
pass "kafclaw.json was taken: name, key, Wi-Fi and settings from the boot partition, time zone from a stick"

# Settings of a stick, for which the assistant starts anew; its first start is what the figures are about.
ready_s=$(unit_s ActiveEnterTimestampMonotonic kafclaw)
takes_setting() {
    [ "$(inside 'KAFCLAW_HOME=/var/lib/kafclaw kafclaw config get node.displayName; systemctl is-active kafclaw')" = 'The garage
active' ]
}
tell_machine 'device_add usb-storage,id=late,drive=late,removable=on'
wait_until 180 takes_setting >/dev/null || fail "the settings of a stick were not taken: $(inside 'journalctl -u "kafclaw-stick*" -u kafclaw --no-pager | tail -n 20')"
wait_until 120 dashboard_answers >/dev/null || fail "with the settings of a stick it does not come up"
tell_machine 'device_del late'
pass "settings of a stick are taken after the first start, too, as long as nobody owns the house"
# Where the web page is, under the name that was given, and what was taken.
wait_until 60 grep -aq 'http://garage.local:18791/' "$SCRATCH/console" >/dev/null || fail "the console does not say the name"
wait_until 60 grep -aq 'http://10.0.2.15:18791/' "$SCRATCH/console" >/dev/null || fail "the console does not say the address"
wait_until 60 grep -aq 'kafclaw.json: .*Settings: node.displayName' "$SCRATCH/console" >/dev/null || fail "the console does not say what was taken"
pass "the console says name, address and what was taken"

# A sentence, with the token that the machine made for itself.
take_token
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 20 "$web/api/v1/devices")" = 401 ] || fail "the API is open to anybody"
pass "the API wants a token"
ask --get --request POST --data-urlencode 'message=set a timer for ten minutes' "$api/chat" >"$SCRATCH/answer" || fail "no answer to a sentence"
grep -qi timer "$SCRATCH/answer" || fail "not understood: $(cat "$SCRATCH/answer")"
pass "a sentence is understood: $(cat "$SCRATCH/answer")"

# Root, who has come in by ssh, speaks for the house without saying where it is; and leaves nothing there that is root's.
[ "$(inside kafclaw token)" = "$token" ] || fail "root does not find the house: $(inside kafclaw token 2>&1)"
inside 'kafclaw doctor --json' >"$SCRATCH/of-root" || true
jq -e '[.findings[] | select(.check == "gateway" and .verdict == "PASS")] | length == 1' "$SCRATCH/of-root" >/dev/null || fail "root's doctor finds no gateway: $(cat "$SCRATCH/of-root")"
inside 'kafclaw config set assistant.name Hal && kafclaw memory search x' >/dev/null || fail "root cannot speak for the house"
[ -z "$(inside 'find /var/lib/kafclaw -user root')" ] || fail "root's in the house: $(inside 'find /var/lib/kafclaw -user root')"
inside 'kafclaw devices broker' >"$SCRATCH/accounts" || fail "the owner is not told how devices connect"
grep -qF -- "$(inside 'sed -n s/^devices://p /var/lib/kafclaw/broker')" "$SCRATCH/accounts" || fail "the owner is not told the password for devices: $(cat "$SCRATCH/accounts")"
pass "commands of root are about the house"

# A lamp as Zigbee2MQTT would show it, with the password that the owner gives to devices.
password=$(inside 'sed -n s/^devices://p /var/lib/kafclaw/broker')
broker="-h 127.0.0.1 -p $((PORT_BASE + 3)) -u devices -P $password"
people="-h 127.0.0.1 -p $((PORT_BASE + 3)) -u people -P $(inside 'sed -n s/^people://p /var/lib/kafclaw/broker')"
mosquitto_pub -h 127.0.0.1 -p $((PORT_BASE + 3)) -t x -m x 2>/dev/null && fail "the broker takes anybody"
pass "the broker wants a password"
: >"$SCRATCH/heard"
# shellcheck disable=SC2086 # Words.
mosquitto_sub $broker -t zigbee2mqtt/kitchen_lamp/set >"$SCRATCH/heard" &
others="$others $!"
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

# Whoever has a device's password speaks for devices, not for people, and hears nobody: it is said once by such a one, once by a program of people's.
: >"$SCRATCH/people"
: >"$SCRATCH/devices"
# shellcheck disable=SC2086 # Words.
{
    mosquitto_sub $people -v -t 'kafclaw/#' >"$SCRATCH/people" &
    others="$others $!"
    mosquitto_sub $broker -v -t '#' >"$SCRATCH/devices" &
    others="$others $!"
    wait_until 20 grep -q '^zigbee2mqtt/' "$SCRATCH/devices" >/dev/null || fail "devices do not hear each other"
    wait_until 20 grep -q '^kafclaw/' "$SCRATCH/people" >/dev/null || fail "people do not hear the house"
    mosquitto_pub $broker -q 1 -t kafclaw/default/in/plug -m 'set a timer for twenty minutes' || true
    mosquitto_pub $people -q 1 -t kafclaw/default/in/program -m 'set a timer for thirty minutes'
}
wait_until 60 grep -q '^kafclaw/default/out/program .*imer' "$SCRATCH/people" >/dev/null || fail "a program of people's is not answered: $(cat "$SCRATCH/people")"
grep 'kafclaw/default/.*/plug' "$SCRATCH/people" && fail "the assistant listens to devices"
grep '^kafclaw/' "$SCRATCH/devices" && fail "devices hear what people say"
pass "programs of people's talk to the assistant by MQTT, and devices neither talk nor listen there"

# The page in a browser, under the name that it has in the house, for the first time, with the code that stands on the console.
wait_until 60 grep -aq 'with this setup code: ' "$SCRATCH/console" >/dev/null || fail "the console shows no setup code"
code=$(tr -d '\r' <"$SCRATCH/console" | sed -n 's/.*with this setup code: //p' | tail -n 1)
tests/image/browse.py "garage.local:$((PORT_BASE + 2))" 127.0.0.1 "$code" 'turn off the kitchen lamp' 'itchen lamp' "$FIGURES/page.png" >"$SCRATCH/page" ||
    fail "the page cannot be used in a browser"
wait_until 30 grep -q '"OFF"' "$SCRATCH/heard" >/dev/null || fail "the lamp was not told by the page: $(cat "$SCRATCH/page")"
pass "a browser opens http://garage.local, its person becomes the owner, and a sentence there switches the lamp: $(cat "$SCRATCH/page")"

# Another machine on the same cable: what it can find out, by name and by knocking on every port past everything of this host.
look_around() {
    tests/image/neighbor.py $((PORT_BASE + 8)) $((PORT_BASE + 9)) garage.local 18790 >"$SCRATCH/neighbor" 2>"$SCRATCH/neighbor.errors" &
    neighbor=$!
    others="$others $neighbor"
    wait_until 10 grep -q listens "$SCRATCH/neighbor" >/dev/null || fail "no neighbor: $(cat "$SCRATCH/neighbor.errors")"
    tell_machine 'set_link near on'
    wait "$neighbor" || fail "the neighbor: $(cat "$SCRATCH/neighbor.errors")"
    tail -n 1 "$SCRATCH/neighbor" >"$SCRATCH/found"
    tell_machine 'set_link near off'
    [ "$(jq -c .open.tcp4 "$SCRATCH/found")" = '[22,1883,18790,18791]' ] && jq -e '.closed.tcp4 == null' "$SCRATCH/found" >/dev/null ||
        fail "open are: $(cat "$SCRATCH/found")"
    # By IPv6 the firewall lets the same through; whether somebody listens there is the product's business.
    [ "$(jq -c '[.open.tcp6, .closed.tcp6 | .[]?] | sort' "$SCRATCH/found")" = '[22,1883,18790,18791]' ] || fail "open are by IPv6: $(cat "$SCRATCH/found")"
    # 5353 has answered in its own words; 68 and 546 are where answers to what this machine asks arrive.
    jq -e '[.open.udp4, .open.udp6 | .[]?] - [5353] | length == 0' "$SCRATCH/found" >/dev/null || fail "answers: $(cat "$SCRATCH/found")"
    jq -e '[.closed.udp4, .closed.udp6 | .[]?] - [68, 546, 5353] | length == 0' "$SCRATCH/found" >/dev/null || fail "UDP ports answer: $(cat "$SCRATCH/found")"
}
look_around
jq -e '.names["garage.local"] | index("192.168.77.2")' "$SCRATCH/found" >/dev/null || fail "garage.local is not known: $(cat "$SCRATCH/found")"
! jq -r '.names["garage.local"][]' "$SCRATCH/found" | grep : || fail "garage.local leads to IPv6, where the house does not listen"
jq -e '[.names[] | .[]] | contains(["port 18791", "port 18790", "port 1883"])' "$SCRATCH/found" >/dev/null || fail "services are not told: $(cat "$SCRATCH/found")"
pass "the neighbor finds garage.local and its services by multicast"
pass "of 65535 ports TCP and UDP, IPv4 and IPv6, it finds only 22 (a key was given), 1883, 18790, 18791 and the names ($(jq .seconds "$SCRATCH/found") s)"

if [ "$firmware" = uefi ]; then
    # As on a vendor's kernel that does not follow connections. The line that this is said through stays open; the next one wants its port.
    inside 'nft -f /etc/nftables.plain.conf && nft add element inet kafclaw asked { 22 }' || fail "the plainer rules are not taken"
    look_around
    dashboard_answers || fail "nobody is answered past the plainer rules"
    inside 'systemctl restart nftables && nft add element inet kafclaw asked { 22 }' || fail "the rules are not taken again"
    pass "with rules for kernels that do not follow connections it finds the same"
fi

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
inside 'grep -qE "^[^:]+:[^!*:]" /etc/shadow' && fail "somebody has a password"
pass "nobody has a password"
# Whoever breaks into the assistant, the broker or the names may look at the slots, and no more.
for user in kafclaw mosquitto avahi; do
    for call in 'Mark ss bad booted' 'InstallBundle sa{sv} /var/tmp/x.raucb 0' 'Info s /var/tmp/x.raucb'; do
        said=$(inside "setpriv --reuid $user --regid $user --clear-groups busctl call de.pengutronix.rauc / de.pengutronix.rauc.Installer $call" 2>&1) &&
            fail "$user may call $call: $said"
        echo "$said" | grep -qiE 'access denied|not authorized' || fail "$call is refused to $user in other words: $said"
    done
done
inside 'setpriv --reuid kafclaw --regid kafclaw --clear-groups rauc status' >/dev/null || fail "the assistant may not see the slots"
inside 'setpriv --reuid kafclaw --regid kafclaw --clear-groups rauc status mark-bad' >/dev/null 2>&1 && fail "the assistant may mark slots"
pass "only root installs and marks slots"
inside 'find /var/lib/kafclaw /var/lib/mosquitto -maxdepth 1 -user root' >"$SCRATCH/roots"
[ ! -s "$SCRATCH/roots" ] || fail "root has written into the folders of others: $(cat "$SCRATCH/roots")"
pass "root has written nothing in the folders of the assistant and the broker"
[ "$(inside 'chronyd -p | grep ^makestep | tail -n 1')" = 'makestep 1 3' ] || fail "time servers may set the clock whenever they like"
inside 'systemctl is-active kafclaw-clock.timer && systemctl start kafclaw-clock.service && find /var/lib/chrony/chrony.drift -newermt "-1 minute" | grep .' >/dev/null ||
    fail "the time is not saved"
pass "the time is saved, and set by the first answers of time servers only"
# Whatever the program itself says is a sentence, and what it is about stands in fields of its own.
inside 'journalctl --sync; journalctl -o json SYSLOG_IDENTIFIER=kafclaw _TRANSPORT=journal' | jq -c 'select(.TARGET | startswith("kafclaw"))' >"$SCRATCH/journal"
strange=$(jq -c 'select((has("CODE_FILE") and has("PRIORITY") and (.MESSAGE | test("^[A-Z][^{}=]*[.]$"))) | not)' "$SCRATCH/journal")
[ -z "$strange" ] || fail "lines of the journal are no sentences with fields: $strange"
jq -es 'length > 3 and any(.[]; .F_ELAPSED_MS // "" | test("^[0-9]+$"))' "$SCRATCH/journal" >/dev/null || fail "the journal has no fields: $(tail -n 3 "$SCRATCH/journal")"
inside 'test -d /var/log/journal/$(cat /etc/machine-id)' || fail "the journal is not kept"
pass "the journal is kept and has fields"
case $(inside 'systemctl show -P RuntimeWatchdogUSec') in
'' | 0 | infinity) fail "systemd does not want the hardware watchdog" ;;
esac
inside 'ls -l /proc/1/fd' | grep -q '/dev/watchdog' || fail "nobody feeds the hardware watchdog: $(inside 'ls /dev/watchdog*; journalctl -b _PID=1 --no-pager | grep -i watchdog')"
pass "systemd feeds the hardware watchdog"
inside 'swapon --show=NAME --noheadings | grep -q zram' || fail "no compressed memory"
pass "memory is compressed"
wait_until 240 has_proved A >/dev/null || fail "the slot was not marked good: $(inside 'grub-editenv /efi/EFI/BOOT/grubenv list; journalctl -u kafclaw-confirm -u rauc --no-pager | tail -n 20')"
pass "the slot has proved itself"
inside 'kafclaw doctor --confirm' >"$SCRATCH/confirmed" || fail "root's doctor does not confirm: $(cat "$SCRATCH/confirmed")"
grep -q 'marked as good' "$SCRATCH/confirmed" || fail "root's doctor does not confirm: $(cat "$SCRATCH/confirmed")"
[ -z "$(inside 'find /var/lib/kafclaw -user root')" ] || fail "root's in the house: $(inside 'find /var/lib/kafclaw -user root')"
pass "a doctor that root asks to confirms"

# What the program itself says about its house. Of Kafka there is none.
kafclaw_inside doctor --json >"$SCRATCH/doctor" || true
jq -e '.summary.fail == 0 and .summary.pass >= 12' "$SCRATCH/doctor" >/dev/null || fail "doctor: $(jq -c '.findings[] | select(.verdict == "FAIL")' "$SCRATCH/doctor")"
pass "doctor: $(jq -r '.summary | "\(.pass) PASS, \(.fail) FAIL, \(.skip) SKIP"' "$SCRATCH/doctor") ($(jq -r '[.findings[] | select(.verdict == "SKIP") | .check] | join(", ")' "$SCRATCH/doctor") skipped)"
own_secrets >"$SCRATCH/own"
[ "$(wc -l <"$SCRATCH/own")" -ge 5 ] || fail "too little was found that is its own"
mv "$SCRATCH/own" "$FIGURES/$TEST.own"

# A stick that is put in is shown until it is pulled: what is on this one is no update, and nothing for doctor's list above.
stick_is_shown() {
    inside 'test -r /run/media/*/noise.raucb'
}
stick_is_gone() {
    inside 'test ! -e /run/media/*/noise.raucb'
}
tell_machine 'device_add usb-storage,id=other,drive=other,removable=on'
wait_until 120 stick_is_shown >/dev/null || fail "the stick is not shown: $(inside 'cat /proc/mounts; journalctl -u "kafclaw-stick*" --no-pager')"
# The machine itself tries what came with the stick, and is waited for.
is_refused() {
    ! kafclaw_inside update install stick >"$SCRATCH/refused" 2>&1 && ! grep -q 'under way' "$SCRATCH/refused"
}
wait_until 120 is_refused >/dev/null || fail "noise was taken for an update: $(cat "$SCRATCH/refused")"
grep -q noise.raucb "$SCRATCH/refused" || fail "the update on the stick is not found: $(cat "$SCRATCH/refused")"
tell_machine 'device_del other'
wait_until 60 stick_is_gone >/dev/null || fail "the stick was pulled and is still shown: $(inside 'grep media /proc/mounts; systemctl list-units --all "kafclaw-stick*"')"
! kafclaw_inside update install stick >"$SCRATCH/again" 2>&1 || fail "an update was found on no stick"
! grep -q noise.raucb "$SCRATCH/again" || fail "it is still found: $(cat "$SCRATCH/again")"
[ -z "$(inside 'systemctl --failed --no-legend --plain')" ] || fail "failed units: $(inside 'systemctl --failed --no-legend')"
pass "an update on a stick is looked at as long as the stick is in: $(tail -n 1 "$SCRATCH/refused")"

# The stranger's stick: it may show its models and updates, and nothing takes it for this machine's own disk, now or at the next start.
decoy_is_in() {
    inside 'test -e /run/media/*1/kafclaw.json && test -e /run/media/*2/lost+found'
}
tell_machine 'device_add usb-storage,id=decoy,drive=decoy,removable=on'
wait_until 120 decoy_is_in >/dev/null || fail "the stranger's stick is not shown: $(inside 'lsblk -o NAME,PARTLABEL; cat /proc/mounts')"
number=0
for name in esp root-a root-b persist data; do
    number=$((number + 1))
    [ "$(inside "readlink -f /dev/kafclaw/$name")" = /dev/vda$number ] || fail "$name is $(inside "readlink -f /dev/kafclaw/$name")"
done
for place in '-t ext4 /persist' '-t ext4 /var' '-t vfat /efi'; do
    inside "ls ${place##* } >/dev/null; findmnt -no SOURCE $place"
done | tr '\n' ' ' >"$SCRATCH/mounted"
[ "$(cat "$SCRATCH/mounted")" = '/dev/vda4 /dev/vda5 /dev/vda1 ' ] || fail "mounted are $(cat "$SCRATCH/mounted")"
inside 'systemctl stop efi.mount; systemctl restart kafclaw-provision.service' 2>/dev/null
inside 'grep -q stranger /persist/ssh/authorized_keys' && fail "a stranger's key was taken"
inside 'test -e /var/lib/kafclaw-setup/owned' || fail "that somebody owns the house was not noted"
pass "a stick whose partitions have the same names is not taken for the disk"
tell_machine 'device_del decoy'

# When the kernel began, by the clock of this host.
uptime=$(inside 'cut -d " " -f 1 /proc/uptime')
kernel_at=$(awk -v now="$(now)" -v uptime="$uptime" 'BEGIN { printf "%.3f", now - uptime }')
say
record "${firmware}_power_to_dashboard_s" "$answered"
record "${firmware}_kernel_to_dashboard_s" "$(awk -v kernel="$kernel_at" -v answered="$answered_at" 'BEGIN { printf "%.1f", answered - kernel }')"
record "${firmware}_kernel_to_ready_s" "$ready_s"
record "${firmware}_kernel_to_userspace_s" "$(unit_s UserspaceTimestampMonotonic)"
record "${firmware}_kernel_to_finished_s" "$(unit_s FinishTimestampMonotonic)"
record "${firmware}_idle_memory_mib" "$(inside free -m | awk '/^Mem/ { print $2 - $7 }')" 180
if [ "$firmware" = uefi ]; then
    record program_bytes "$(inside 'stat -c %s /usr/bin/kafclaw')" 16777216
    record compressed_mib "$(($(wc -c <"$image") / 1048576))" 350
    record bundle_mib "$(($(wc -c <"${image%.img.zst}.raucb") / 1048576))"
    record root_mib "$(inside 'df -m --output=used / | tail -n 1' | tr -d ' ')"
fi
