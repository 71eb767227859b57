#!/bin/sh
# A house to work on, for who changes the code: a broker on loopback and a gateway that logs everything; Ctrl-C stops both.
# State lives in a home of its own (KAFCLAW_HOME), the broker listens on KAFCLAW_DEV_MQTT_PORT (18830).
# `dev.sh kafka` is an Apache Kafka instead (KAFCLAW_DEV_KAFKA_PORT, 19092), `dev.sh kafka-tls` one with passwords and certificates
# too; behind it, `auto_create=true` makes unknown topics. `dev.sh gateway ...` hands arguments to the gateway.
set -eu

cd "$(dirname "$0")/.."
. scripts/need.sh

kafka() {
    kafka_port=${KAFCLAW_DEV_KAFKA_PORT:-19092}
    kafka_home=${XDG_CACHE_HOME:-$HOME/.cache}/kafclaw/dev-$1
    shift
    say "
  Kafka   127.0.0.1:$kafka_port   (its data: $kafka_home)"
    exec scripts/kafka.sh "$kafka_home" plaintext="$kafka_port" controller=$((kafka_port + 1)) "$@"
}

case ${1:-gateway} in
kafka)
    kafka "$@"
    ;;
kafka-tls)
    first=$((${KAFCLAW_DEV_KAFKA_PORT:-19092} + 2))
    say "
  Password              SASL_PLAINTEXT 127.0.0.1:$first   hub hub-secret (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512)
  Password and TLS      SASL_SSL       127.0.0.1:$((first + 1))   and certificates/ca.pem in its data
  Client certificate    SSL            127.0.0.1:$((first + 2))   and certificates/client.pem, client.key
  Expired certificate   SSL            127.0.0.1:$((first + 3))"
    kafka "$@" sasl="$first" sasl_tls=$((first + 1)) tls=$((first + 2)) expired=$((first + 3))
    ;;
gateway)
    [ $# -eq 0 ] || shift
    ;;
esac

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
  Login   KAFCLAW_HOME=$KAFCLAW_HOME $CARGO_TARGET_DIR/debug/kafclaw setup-code
"
export KAFCLAW_HOME
KAFCLAW_MQTT_URL=mqtt://127.0.0.1:$port KAFCLAW_LOG_LEVEL=debug "$CARGO_TARGET_DIR/debug/kafclaw" gateway "$@"
