#!/bin/sh
# One Apache Kafka broker on loopback, in the foreground, for scripts/dev.sh and the tests: kafka.sh FOLDER KEY=VALUE...
# FOLDER keeps everything. plaintext=PORT and controller=PORT must be given; host= is another address than 127.0.0.1; sasl=, sasl_tls=, tls= and expired=PORT add listeners
# with passwords, with both, with client certificates, and with a certificate that is over; auto_create=true makes unknown topics.
# Users: hub with the password hub-secret (PLAIN and SCRAM) may do everything, guest with guest-secret nothing.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/need.sh"

folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
host=127.0.0.1 sasl= sasl_tls= tls= expired= auto_create=false
for setting in "$@"; do
    case $setting in
    host=* | plaintext=* | controller=* | sasl=* | sasl_tls=* | tls=* | expired=* | auto_create=*)
        eval "${setting%%=*}=\${setting#*=}" ;;
    *)
        say "Unknown setting: $setting"
        exit 64 ;;
    esac
done
need_kafka

listeners=PLAINTEXT://$host:$plaintext
protocols=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listen() {
    [ -z "$2" ] || { listeners=$listeners,$1://$host:$2 && protocols=$protocols,$1:$3; }
}
listen SASL "$sasl" SASL_PLAINTEXT
listen SASLTLS "$sasl_tls" SASL_SSL
listen TLS "$tls" SSL
listen EXPIRED "$expired" SSL

cat >"$folder/server.properties" <<END
process.roles=broker,controller
node.id=1
listeners=$listeners,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$listeners
listener.security.protocol.map=$protocols
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/data
num.partitions=1
auto.create.topics.enable=$auto_create
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
background.threads=2
controlled.shutdown.max.retries=1
END
if [ "$protocols" != PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT ]; then
    certificates=$folder/certificates
    "$scripts/kafka_certificates.sh" "$certificates" >"$folder/certificates.log" 2>&1 ||
        { cat "$folder/certificates.log" >&2; exit 1; }
    cat >>"$folder/server.properties" <<END
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:hub;User:CN=hub
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/broker.chain.pem
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.pem
listener.name.tls.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=$certificates/expired.chain.pem
END
    for listener in sasl sasltls; do
        cat >>"$folder/server.properties" <<END
listener.name.$listener.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    user_hub="hub-secret" user_guest="guest-secret";
listener.name.$listener.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$listener.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
END
    done
fi

# The second call of a broker finds its data; a small heap and a simple compiler are enough and start sooner.
run() {
    java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$KAFCLAW_KAFKA_JARS/*" "$@"
}
if [ ! -e "$folder/data/meta.properties" ]; then
    set -- --cluster-id AAAAAAAAAAAAAAAAAAAAAQ --config "$folder/server.properties"
    for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
        set -- "$@" --add-scram "$mechanism=[name=hub,password=hub-secret]" \
            --add-scram "$mechanism=[name=guest,password=guest-secret]"
    done
    run kafka.tools.StorageTool format "$@" >"$folder/format.log" 2>&1 || { cat "$folder/format.log" >&2; exit 1; }
fi
# The process itself, so that who started it can signal it.
exec java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$KAFCLAW_KAFKA_JARS/*" kafka.Kafka "$folder/server.properties"
