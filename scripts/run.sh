#!/bin/sh
# Starts KafClaw from this clone, for who wants to use it: installs what is missing, builds the release, runs the gateway.
# Arguments go to `kafclaw gateway`. The first build takes minutes, later ones seconds.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

need_build
say "Building (in $CARGO_TARGET_DIR) ..."
cargo build --release --locked
# Without it everything works but the search by meaning; who is offline does without.
if (need_onnxruntime); then
    need_onnxruntime
else
    say "Memories are found by their words only until ONNX Runtime is here."
fi
kafclaw=$CARGO_TARGET_DIR/release/kafclaw
"$kafclaw" config validate >&2
host=$("$kafclaw" config get gateway.host)
port=$("$kafclaw" config get gateway.dashboardPort)

say "
  Dashboard  http://$host:$port/
  Log in     with your password; at the first visit with the code that this command prints:  $kafclaw setup-code
  Stop       with Ctrl-C
"
exec "$kafclaw" gateway "$@"
