#!/bin/sh
# A house to work on, for who changes the code: a broker on loopback and a gateway that logs everything; Ctrl-C stops both.
# State lives in a home of its own (KAFCLAW_HOME), the broker listens on KAFCLAW_DEV_MQTT_PORT (18830).
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

need_build
need_broker
need_onnxruntime
KAFCLAW_HOME=${KAFCLAW_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/dev}
port=${KAFCLAW_DEV_MQTT_PORT:-18830}
broker_home=$KAFCLAW_HOME/mosquitto
mkdir -p "$broker_home"
cargo build --locked

cat >"$broker_home/mosquitto.conf" <<END
listener $port 127.0.0.1
allow_anonymous true
persistence true
persistence_location $broker_home/
END
# The broker gives up root for a user that could not write there.
[ "$(id -u)" -ne 0 ] || echo "user root" >>"$broker_home/mosquitto.conf"
mosquitto -c "$broker_home/mosquitto.conf" &
broker=$!
trap 'kill "$broker" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "
  Broker  mqtt://127.0.0.1:$port   (mosquitto_sub -p $port -v -t '#')
  Home    $KAFCLAW_HOME
  Token   KAFCLAW_HOME=$KAFCLAW_HOME $CARGO_TARGET_DIR/debug/kafclaw token
"
export KAFCLAW_HOME
KAFCLAW_MQTT_URL=mqtt://127.0.0.1:$port KAFCLAW_LOG_LEVEL=debug "$CARGO_TARGET_DIR/debug/kafclaw" gateway "$@"
