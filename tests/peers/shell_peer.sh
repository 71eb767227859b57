#!/bin/sh
# A member of a KafClaw group made of kcat and a shell, for tests/it/peers.rs and for whoever wants to see how little is needed:
# `shell_peer.sh BROKER GROUP AGENT WORDS` joins, asks the group WORDS, prints the record of the answer, and leaves.
set -eu

broker=$1 group=$2 agent=$3 words=$4
kcat=$(command -v kcat || command -v kafkacat)
task=$agent-$$

produce() {
    printf '%s\n' "$2" | "$kcat" -P -q -b "$broker" -t "group.$group.$1" -k "$agent"
}

envelope() {
    printf '{"type":"%s","correlation_id":"%s","sender_id":"%s","timestamp":"%s","payload":%s}' \
        "$1" "$2" "$agent" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$3"
}

announce() {
    identity=$(printf '{"agent_id":"%s","agent_name":"Shell","capabilities":null,"channels":null,"status":"active"}' "$agent")
    produce announce "$(envelope announce "$1-$task" "{\"action\":\"$1\",\"identity\":$identity}")"
}

answers() {
    "$kcat" -C -q -e -b "$broker" -t "group.$group.responses" -o beginning | grep -F "\"task_id\":\"$task\""
}

announce join
produce requests "$(envelope request "$task" \
    "{\"task_id\":\"$task\",\"description\":\"asked\",\"content\":\"$words\",\"requester_id\":\"$agent\"}")"
seconds=0
until answers; do
    seconds=$((seconds + 1))
    [ "$seconds" -lt 60 ] || { echo "Nobody answered." >&2; exit 1; }
    sleep 1
done
announce leave
