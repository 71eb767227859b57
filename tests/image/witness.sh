#!/bin/sh
# Tells on the console what works inside a machine that nobody can reach, for alone.sh, which puts this into its disk: when the assistant was ready, and
# whether without a network it understands, remembers, finds by meaning, and switches a lamp through its own broker.
set -eu

tell() {
    echo "witness: $*" >/dev/console
}

wrong() {
    tell "WRONG $*"
    tell over
    exit 1
}

as_kafclaw() {
    setpriv --reuid kafclaw --regid kafclaw --init-groups env HOME=/var/lib/kafclaw KAFCLAW_HOME=/var/lib/kafclaw kafclaw "$@"
}

# Until the rest succeeds.
wait_for() {
    waits=0
    until "$@" >/dev/null 2>&1; do
        waits=$((waits + 1))
        [ $waits -lt 120 ] || wrong "not within 120 s: $*"
        sleep 1
    done
}

cd /
tell "ready $(systemctl show -P ActiveEnterTimestampMonotonic kafclaw | awk '{ printf "%.1f", $1 / 1e6 }')"
# Nothing but the machine itself.
tell "cable $(cat /sys/class/net/en*/carrier 2>/dev/null || echo none) addresses $(ip -o -4 address show scope global | wc -l)"
as_kafclaw agent -m 'set a timer for ten minutes' >/run/witness.answer 2>&1 || wrong "no answer: $(cat /run/witness.answer)"
grep -qi timer /run/witness.answer || wrong "not understood: $(cat /run/witness.answer)"
tell "ok a sentence is understood"
as_kafclaw memory remember 'The stopcock of the water is behind the washing machine.' >/dev/null 2>&1 || wrong "not kept"
finds() {
    as_kafclaw memory search --mode semantic 'where can I shut off the water' | grep -q stopcock
}
wait_for finds
tell "ok a memory is found by meaning"

password=$(sed -n s/^devices://p /var/lib/kafclaw/broker)
at() {
    program=$1
    shift
    "/usr/lib/witness/$program" -h 127.0.0.1 -u devices -P "$password" "$@"
}
at mosquitto_sub -t zigbee2mqtt/kitchen_lamp/set >/run/witness.heard &
listener=$!
at mosquitto_pub -r -t zigbee2mqtt/bridge/state -m '{"state":"online"}'
at mosquitto_pub -r -t zigbee2mqtt/kitchen_lamp -m '{"state":"OFF","brightness":254}'
at mosquitto_pub -r -t homeassistant/light/0x00158d/light/config -f /usr/lib/witness/lamp.json
knows() {
    as_kafclaw devices list | grep -qi kitchen
}
wait_for knows
as_kafclaw agent -m 'turn on the kitchen lamp' >/run/witness.answer 2>&1 || wrong "no answer: $(cat /run/witness.answer)"
wait_for grep -q '"ON"' /run/witness.heard
kill $listener
tell "ok a sentence switches a lamp: $(tail -n 1 /run/witness.answer)"
as_kafclaw doctor --json >/run/witness.doctor || true
jq -e '.summary.fail == 0' /run/witness.doctor >/dev/null || wrong "doctor: $(jq -c '.findings[] | select(.verdict == "FAIL")' /run/witness.doctor)"
tell "ok doctor has nothing to say"
[ -z "$(systemctl --failed --no-legend --plain)" ] || wrong "failed: $(systemctl --failed --no-legend --plain)"
tell over
