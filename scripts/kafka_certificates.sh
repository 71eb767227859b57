#!/bin/sh
# Makes an authority and what it signs for Kafka on loopback, for scripts/kafka.sh and the tests: broker, client and a broker that
# expired, and a second authority that signed nothing. Argument: the folder; nothing is made again where it was made before.
set -eu

folder=$1
[ ! -e "$folder/done" ] || exit 0
mkdir -p "$folder"
cd "$folder"

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout "$1.key" -out "$1.pem"
}

# A name, a subject, the first and the last day.
signed() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
    openssl ca -batch -config authority.conf -startdate "$3" -enddate "$4" -notext -in "$1.csr" -out "$1.pem"
    # Kafka reads key and certificates from one file.
    cat "$1.key" "$1.pem" ca.pem >"$1.chain.pem"
}

authority ca "KafClaw development authority"
authority stranger "An authority that signed nothing"
: >index.txt
echo 01 >serial
cat >authority.conf <<'END'
[ca]
default_ca = here
[here]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
x509_extensions = loopback
[any]
commonName = supplied
[loopback]
subjectAltName = DNS:localhost,IP:127.0.0.1
extendedKeyUsage = serverAuth,clientAuth
END
signed broker localhost 20250101000000Z 20491231000000Z
signed client hub 20250101000000Z 20491231000000Z
signed expired localhost 20240101000000Z 20250101000000Z
: >done
