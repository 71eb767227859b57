#!/bin/sh
# Has a copy of the image join a Wi-Fi by itself, with radios that the kernel makes (mac80211_hwsim): one is the machine's card from before its first
# start, the other is the house's router (hostapd, DHCP) in a network namespace inside. What the owner wrote must be enough to join, to be found there, and to
# come back after the router was away; a wrong password must leave the cable alone and be told; a stick must mend it. Not simulated: real cards, whose
# firmware comes from their makers. `wifi.sh [IMAGE]`.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh
. tests/image/machine.sh

image=${1:-target/image/$PRODUCT-qemu-aarch64-$VERSION.img.zst}
need_machine
has curl || install_packages curl
has jq || install_packages jq
{ has mcopy && has mkfs.vfat; } || install_packages mtools dosfstools
has sgdisk || install_packages gdisk
begin wifi 21030

# What cards on a PCI bus are called, such as those of M.2 slots: not as the kernel first calls them. The other one is the router's.
CARD=wlp9s0
OTHER=wlp10s0
FIRST_PASSWORD='not "secret" at all'
# As long as they may be, and with what people have in their languages.
SECOND_PASSWORD='  "ö" # '\''$x'\'' \" {ß} 0123456789 0123456789 0123456789 01234567'
LONG_SSID='ÄÖÜäöüßéèêëíñóçå'

# Puts two radios into the disk $1.
add_radios() {
    echo mac80211_hwsim >"$SCRATCH/load"
    echo 'options mac80211_hwsim radios=2' >"$SCRATCH/options"
    printf '[Match]\nMACAddress=02:00:00:00:00:00\n[Link]\nName=%s\n' "$CARD" >"$SCRATCH/card.link"
    printf '[Match]\nMACAddress=02:00:00:00:01:00\n[Link]\nName=%s\n' "$OTHER" >"$SCRATCH/other.link"
    cat >"$SCRATCH/commands" <<COMMANDS
write $SCRATCH/load /etc/modules-load.d/radios.conf
write $SCRATCH/options /etc/modprobe.d/radios.conf
write $SCRATCH/card.link /etc/systemd/network/10-card.link
write $SCRATCH/other.link /etc/systemd/network/10-other.link
COMMANDS
    start=$(sgdisk -i 2 "$1" | sed -n 's/^First sector: \([0-9]*\).*/\1/p')
    debugfs -w -f "$SCRATCH/commands" "$1?offset=$((start * 512))" >"$SCRATCH/told" 2>&1
    ! grep -q 'File not found\|Could not' "$SCRATCH/told" || fail "the radios cannot be put in: $(cat "$SCRATCH/told")"
}

# Whether somebody looks after the card $1.
is_watched() {
    inside "systemctl is-active kafclaw-wifi@$1"
}

is_idle() {
    [ "$(inside "systemctl is-active kafclaw-wifi@$1")" = inactive ]
}

# Fails as `fail` does, after what the card and the router have to say.
astray() {
    inside 'journalctl --sync; journalctl --no-pager -b -u "kafclaw-wifi@*" -u kafclaw-provision -u systemd-networkd | tail -n 40
        ip -4 addr; cat /run/router/log' >&2 || true
    fail "$*"
}

# Takes the second radio away from the machine and makes a router of it, which is off.
place_router() {
    wait_until 60 is_watched $OTHER >/dev/null || astray "nobody looks after the other card"
    inside 'set -eu
        ip netns add router 2>/dev/null || true
        /run/router/iw phy "$(cat /sys/class/net/'$OTHER'/phy80211/name)" set netns name router
        ip -n router link set lo up
        ip -n router addr add 192.168.88.1/24 dev '$OTHER
    wait_until 60 is_idle $OTHER >/dev/null || astray "a card that is gone is still looked after"
}

# Switches the router on with the lines of standard input besides those of every router. Channel 13 is silent where no country that has it was set.
router_on() {
    {
        printf 'interface=%s\ndriver=nl80211\nhw_mode=g\nchannel=13\n' $OTHER
        cat
    } | inside 'set -eu
        cat >/run/router/access
        ip netns exec router /run/router/hostapd -B -P /run/router/pid -f /run/router/log /run/router/access || { cat /run/router/log >&2; exit 1; }
        ip netns exec router /run/router/busybox udhcpd /run/router/addresses'
}

# Pulls its plug: nobody is told good-bye.
router_off() {
    inside 'kill -KILL $(cat /run/router/pid /run/router/udhcpd.pid); ip -n router link set '$OTHER' down'
}

wpa2() {
    printf 'ssid2=%s\nwpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=%s\n' "$1" "$2"
}

has_address() {
    inside "ip -4 -o addr show dev $CARD | grep -q 'inet 192.168.88.'"
}

has_none() {
    ! has_address && inside true
}

# Whether the web page is there for somebody else of the Wi-Fi. (Busybox's wget, as Debian links it, dies of looking up names.)
serves_by_air() {
    inside 'address=$(ip -4 -o addr show dev '$CARD' | sed -n "s/.* inet \(192\.168\.88\.[0-9]*\).*/\1/p")
        test -n "$address"
        printf "GET / HTTP/1.0\r\nHost: %s:18791\r\n\r\n" "$address" | ip netns exec router /run/router/busybox nc -w 5 "$address" 18791 | grep -qi "<title>.*kafclaw"'
}

hexadecimal() {
    printf %s "$1" | od -An -v -tx1 | tr -d ' \n'
}

# What the owner's file says about Wi-Fi, as the next start would read it: standard input is the file.
provide() {
    inside 'cat >/efi/kafclaw.json && systemctl restart kafclaw-provision.service'
}

new_disk "$image" "$SCRATCH/disk"
add_radios "$SCRATCH/disk"
truncate -s 34M "$SCRATCH/stick"
mkfs.vfat -F 32 "$SCRATCH/stick" >/dev/null
jq -n --arg password "$SECOND_PASSWORD" '{wifi: {ssid: "Café \"am\" Eck", password: $password, country: "DE"}}' >"$SCRATCH/stick.json"
mcopy -i "$SCRATCH/stick" "$SCRATCH/stick.json" ::/kafclaw.json
start_machine "$SCRATCH/disk" uefi -device qemu-xhci -drive if=none,id=stick,format=raw,file="$SCRATCH/stick"
wait_until 600 dashboard_answers >/dev/null || fail "the dashboard does not answer"
wait_until 120 inside true >/dev/null || fail "no way in with the provisioned key"

# What was made of the owner's file.
wait_until 60 is_watched $CARD >/dev/null || astray "nobody looks after the card: $(inside "systemctl list-units --all --no-legend 'kafclaw-wifi*'; ls /sys/class/net")"
pass "a card that has its name of the bus ($CARD) is looked after from the first start on"
[ "$(inside 'stat -c "%a %U" /persist/wifi.conf')" = '600 root' ] || fail "others can read the password: $(inside 'stat -c "%a %U" /persist/wifi.conf')"
hostapd=$(unpacked hostapd)
iw=$(unpacked iw)
busybox=$(unpacked busybox-static)
tar -ch -C "$hostapd/usr/sbin" hostapd -C "$iw/sbin" iw -C "$busybox/bin" busybox >"$SCRATCH/router.tar"
inside 'mkdir -m 700 /run/router && tar -x --no-same-owner -C /run/router' <"$SCRATCH/router.tar"
inside 'cat >/run/router/addresses' <<END
interface $OTHER
start 192.168.88.10
end 192.168.88.20
pidfile /run/router/udhcpd.pid
lease_file /run/router/leases
option subnet 255.255.255.0
option router 192.168.88.1
option lease 600
END
keeps_rules() {
    inside '/run/router/iw reg get' | grep -q '^country DE'
}
wait_until 60 keeps_rules >/dev/null || fail "the country was not set: $(inside '/run/router/iw reg get; dmesg | grep -i regulatory')"
pass "the radio keeps to the rules of the owner's country, the password is for root alone"

place_router
router_began=$(now)
wpa2 "$(hexadecimal 'Café "am" Eck')" "$FIRST_PASSWORD" | router_on
wait_until 120 serves_by_air >/dev/null || astray "it does not join"
joined=$(since "$router_began")
pass "it joins by itself, and its web page is there in the Wi-Fi ($joined s after the router was switched on)"
inside "journalctl --no-pager -b -u avahi-daemon | grep -q 'New relevant interface $CARD.IPv4'" || astray "its name is not known in the Wi-Fi"
inside 'ip -4 route get 192.0.2.1' | grep -q ' dev en' || astray "the cable is there and not used: $(inside 'ip -4 route')"
pass "its name is told there, and the way out is still the cable"

router_off
wait_until 120 has_none >/dev/null || astray "it has an address of a router that is gone"
router_began=$(now)
wpa2 "$(hexadecimal 'Café "am" Eck')" "$FIRST_PASSWORD" | router_on
wait_until 180 serves_by_air >/dev/null || astray "it does not come back"
rejoined=$(since "$router_began")
pass "the router loses its power: it is back $rejoined s after the router is"

router_off
wait_until 120 has_none >/dev/null || astray "it has an address of a router that is gone"
wpa2 "$(hexadecimal 'Café "am" Eck')" "$SECOND_PASSWORD" | router_on
tells_wrong() {
    inside "journalctl --sync; journalctl --no-pager -b -u kafclaw-wifi@$CARD | grep 'pre-shared key may be incorrect'"
}
wait_until 120 tells_wrong >/dev/null || astray "nothing is said about a wrong password"
dashboard_answers || fail "with a wrong password the cable is of no use"
kafclaw_inside doctor --json >"$SCRATCH/doctor" || true
jq -e '[.findings[] | select(.verdict == "FAIL").check] == ["wifi"]' "$SCRATCH/doctor" >/dev/null ||
    fail "doctor: $(jq -c '.findings[] | select(.verdict == "FAIL")' "$SCRATCH/doctor")"
[ -z "$(inside 'systemctl --failed --no-legend --plain')" ] || fail "failed units: $(inside 'systemctl --failed --no-legend')"
pass "with a wrong password it serves by its cable, and says: $(tells_wrong | tail -n 1 | sed 's/.*\]: //')"

tell_machine 'device_add usb-storage,id=stick,drive=stick,removable=on'
wait_until 180 serves_by_air >/dev/null || astray "a stick with the right password does not help: $(inside 'journalctl --no-pager -b -u "kafclaw-stick*"')"
kafclaw_inside doctor --json >"$SCRATCH/doctor" || fail "doctor: $(jq -c '.findings[] | select(.verdict == "FAIL")' "$SCRATCH/doctor")"
jq -e '.findings[] | select(.check == "wifi").verdict == "PASS"' "$SCRATCH/doctor" >/dev/null || fail "doctor does not see the Wi-Fi: $(jq -c . "$SCRATCH/doctor")"
pass "a stick with the right one is put in: it joins without a restart"

router_off
wait_until 120 has_none >/dev/null || astray "it has an address of a router that is gone"
printf 'ssid2=%s\nwpa=2\nwpa_key_mgmt=SAE\nrsn_pairwise=CCMP\nieee80211w=2\nsae_pwe=1\nsae_password=%s\n' "$(hexadecimal 'Café "am" Eck')" "$SECOND_PASSWORD" | router_on
wait_until 180 serves_by_air >/dev/null || astray "it does not join WPA3"
pass "it joins a router that knows nothing older than WPA3 (SAE, hash to element)"

# The card is pulled and put in again, and joins what it did not know before.
router_off
inside 'modprobe -r mac80211_hwsim'
wait_until 60 is_idle $CARD >/dev/null || astray "a card that was pulled is still looked after"
inside 'modprobe mac80211_hwsim'
wait_until 60 is_watched $CARD >/dev/null || astray "nobody looks after a card that was put in again"
place_router
[ "$(printf %s "$LONG_SSID" | wc -c)" -eq 32 ] || fail "the name has $(printf %s "$LONG_SSID" | wc -c) bytes"
jq -n --arg ssid "$LONG_SSID" '{wifi: {ssid: $ssid, country: "DE"}}' | provide
printf 'ssid2=%s\n' "$(hexadecimal "$LONG_SSID")" | router_on
wait_until 180 serves_by_air >/dev/null || astray "it does not join an open Wi-Fi"
pass "a card that is put in later joins an open Wi-Fi, whose name is 32 bytes long"

# Mistakes of owners.
before=$(inside 'sha256sum </persist/wifi.conf')
for mistake in '{"wifi": {"ssid": "x", "password": 1234567890}}' '{"wifi": {"ssid": "x", "pasword": "1234567890"}}' \
    '{"wifi": {"ssid": "x", "password": "123456\n1234567890"}}' '{"wifi": {"ssid": "x", "password": "1234567890"'; do
    printf %s "$mistake" | provide
    inside 'grep -q "cannot be used" /efi/kafclaw.txt' || fail "not told: $mistake"
    ! inside 'cat /efi/kafclaw.txt; journalctl --no-pager -b -u kafclaw-provision' | grep 1234567890 || fail "a password is told: $mistake"
    [ "$(inside 'sha256sum </persist/wifi.conf')" = "$before" ] || fail "taken: $mistake"
done
inside 'rm /efi/kafclaw.json'
pass "mistakes are told without the password: $(inside 'cat /efi/kafclaw.txt' | tr '\n' ' ')"

# By standard input, or the search would find itself; also as programs write what has quotes in it. That it finds anything shows the list itself.
told=$(printf '%s\n%s\n%s\n' "$FIRST_PASSWORD" 'not \"secret\" at all' '0123456789 0123456789' | inside 'set -eu
    cat >/run/router/passwords
    journalctl --sync
    journalctl --no-pager --all -o cat -b >/run/router/journal
    grep -acF -f /run/router/passwords /run/router/passwords /run/router/journal /efi/kafclaw.txt /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -v ":0$"')
[ "$told" = /run/router/passwords:3 ] || fail "passwords stand in: $told"
pass "neither password is in the journal, in a command line or in an environment"
say
record wifi_join_s "$joined"
record wifi_return_s "$rejoined"
