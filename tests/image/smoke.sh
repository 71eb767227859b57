#!/bin/sh
# Starts the program for ARM in $1 on this machine, for who built it: as a Cortex-A57 (the oldest board's processor), with Debian's
# libraries of that kind. It must answer its status, understand a sentence, find a memory by meaning, and end when it is told.
set -eu

cd "$(dirname "$0")/../.."
. scripts/need.sh
. tests/image/recipe.sh

has qemu-aarch64-static || install_packages qemu-user-static
has curl || install_packages curl
program=$1
scratch=$(mktemp -d)
gateway=
stop() {
    [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 130' INT TERM

libraries=$(tests/image/libraries.sh)

# As on a device: models beside the program.
mkdir "$scratch/bin"
cp "$program" "$scratch/bin/kafclaw"
ln -s "$PWD/models" "$scratch/bin/models"
library=$(onnxruntime_for aarch64)

# A file, so that the process that is told to end is the program and not a shell around it.
cat >"$scratch/run" <<END
#!/bin/sh
exec env -i HOME="$scratch" KAFCLAW_HOME="$scratch" PATH=/usr/bin:/bin KAFCLAW_GATEWAY_PORT=0 KAFCLAW_GATEWAY_DASHBOARD_PORT=0 \
    ORT_DYLIB_PATH="$library" qemu-aarch64-static -cpu cortex-a57 -L "$libraries" "$scratch/bin/kafclaw" "\$@"
END
chmod +x "$scratch/run"
: >"$scratch/log"

fail() {
    say "$1; its log:"
    cat "$scratch/log" >&2
    exit 1
}

"$scratch/run" version | grep -q 'KafClaw Edge' || fail "it does not start"
"$scratch/run" gateway >"$scratch/log" 2>&1 &
gateway=$!
waited=0
until grep -q 'The house is ready' "$scratch/log"; do
    sleep 1
    waited=$((waited + 1))
    [ $waited -lt 60 ] || fail "it is not ready after $waited s"
done
web=$(sed -n 's/.*Dashboard *\(http:[^ ]*\).*/\1/p' "$scratch/log")
chat=$(sed -n 's/.*Chat API *\(http:[^ ]*\).*/\1/p' "$scratch/log")
printf 'header = "Authorization: Bearer %s"\n' "$(cat "$scratch/.kafclaw/gateway.token")" >"$scratch/curl"

ask() {
    curl --silent --show-error --fail --max-time 60 --config "$scratch/curl" "$@"
}

ask "$web/api/v1/status" >"$scratch/status" || fail "no status"
ask --get --request POST --data-urlencode 'message=set a timer for ten minutes' "$chat" >"$scratch/answer" || fail "no answer"
grep -qi 'timer' "$scratch/answer" || fail "not understood: $(cat "$scratch/answer")"
"$scratch/run" memory remember 'The stopcock of the water is behind the washing machine.' >"$scratch/added" 2>&1 || fail "not kept: $(cat "$scratch/added")"
# It is found as soon as its vector is there.
waited=0
until "$scratch/run" memory search --mode semantic 'where can I shut off the water' >"$scratch/found" 2>&1 && grep -q stopcock "$scratch/found"; do
    sleep 1
    waited=$((waited + 1))
    [ $waited -lt 30 ] || fail "not found: $(cat "$scratch/found")"
done
kill "$gateway"
wait "$gateway" || fail "it ended with $?"
gateway=
say "starts in $(sed -n 's/.*The house is ready.*elapsed_ms=\([0-9]*\).*/\1/p' "$scratch/log") ms under emulation, answers, remembers, ends"
